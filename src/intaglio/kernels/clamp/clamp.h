/* Clamp without a change of scale.   y = min(max(x, low), high) */
#ifndef IG_CLAMP_H
#define IG_CLAMP_H

#include "common/fixedpoint.h"

struct ig_clamp_codes {
    int32_t low, high;
};

#endif
