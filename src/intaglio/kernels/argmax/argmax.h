/* Index of the largest (or smallest) element along an axis; the first or the last of several equal ones. */
#ifndef IG_ARGMAX_H
#define IG_ARGMAX_H

#include "common/fixedpoint.h"

struct ig_argmax {
    int32_t length, inner; /* of the axis; elements from one of its places to the next */
};

#endif
