/* Slices picked by constant indices.   y[o, i, k] = x[o, indices[i], k] */
#ifndef IG_GATHER_H
#define IG_GATHER_H

#include "common/fixedpoint.h"

struct ig_gather {
    const int32_t *indices;
    int32_t count, size; /* of the indices; of the axis that they pick from */
    int32_t run;         /* elements of a slice */
};

#endif
