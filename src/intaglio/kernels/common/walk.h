/* Walks over arrays of several axes, row-major; strides count elements and may be 0 or negative. */
#ifndef IG_WALK_H
#define IG_WALK_H

#include "common/fixedpoint.h"

enum { IG_MAX_RANK = 8 };

static inline IG_UNUSED int32_t ig_minimum(int32_t a, int32_t b) { return a < b ? a : b; }

/* Offset of the element whose place, counted over the first `rank` axes, is `index`. */
static inline IG_UNUSED ptrdiff_t ig_offset(int32_t rank, const int32_t *size, const int32_t *stride, int32_t index)
{
    ptrdiff_t offset = 0;
    for (int32_t k = rank - 1; k >= 0; k--) {
        offset += (ptrdiff_t)(index % size[k]) * stride[k];
        index /= size[k];
    }
    return offset;
}

#endif
