/* Reductions over some axes of an array: for every kept place, a walk over the reduced ones. */
#ifndef IG_REDUCTION_H
#define IG_REDUCTION_H

#include "common/walk.h"

struct ig_reduction {
    int32_t rank, size[IG_MAX_RANK], stride[IG_MAX_RANK]; /* kept axes: the output's, and x's strides along them */
    int32_t reduced_rank, reduced_size[IG_MAX_RANK], reduced_stride[IG_MAX_RANK];
    int32_t count; /* of reduced elements */
};

enum { IG_REDUCTION_RUN = 64 }; /* so many neighbours are reduced together */

/* The reduced place after `at` (counted per axis): moves `at` on and returns its offset. */
static inline IG_UNUSED ptrdiff_t ig_reduction_next(const struct ig_reduction *p, int32_t *at, ptrdiff_t offset)
{
    for (int32_t k = p->reduced_rank - 1; k >= 0; k--) {
        offset += p->reduced_stride[k];
        if (++at[k] < p->reduced_size[k])
            break;
        offset -= (ptrdiff_t)p->reduced_size[k] * p->reduced_stride[k];
        at[k] = 0;
    }
    return offset;
}

#endif
