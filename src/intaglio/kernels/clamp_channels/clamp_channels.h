/* Clamp with bounds per channel, without a change of scale.   y = min(max(x, lower[c]), upper[c]) */
#ifndef IG_CLAMP_CHANNELS_H
#define IG_CLAMP_CHANNELS_H

#include "common/fixedpoint.h"

struct ig_clamp_channels {
    const int32_t *lower, *upper; /* codes, one of each per channel */
    int32_t channels;
};

#endif
