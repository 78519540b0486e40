/* Elements at computed places along one axis.   y[o, j, r] = x[o, ids[o, j, r], r] */
#ifndef IG_GATHER_ELEMENTS_H
#define IG_GATHER_ELEMENTS_H

#include "common/fixedpoint.h"

struct ig_gather_elements {
    int32_t count, ids, inner; /* elements of x and of the indices along the axis; elements between two of them */
};

#endif
