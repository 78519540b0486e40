/* Padding with one code, and cropping. The innermost axis of the walk is a run of elements.
 *
 *     y[o, i] = x[o - before, i - first] where that exists, value elsewhere
 */
#ifndef IG_PAD_H
#define IG_PAD_H

#include "common/walk.h"

struct ig_pad {
    int32_t value;
    int32_t rank, size[IG_MAX_RANK], x_size[IG_MAX_RANK], before[IG_MAX_RANK]; /* of the axes outside the run */
    int32_t run, x_run, first; /* elements of a run of y and of x, and how many precede x's in y's (or are cut off) */
};

#endif
