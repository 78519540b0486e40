/* Leaky rectifier with a slope per channel.
 *
 *     y = clamp(z_y + (x - z_x) * M, low, high)                   where x >= z_x
 *     y = clamp(z_y + sign[c] * (x - z_x) * M'[c], low, high)     elsewhere
 */
#ifndef IG_PRELU_H
#define IG_PRELU_H

#include "common/requantize.h"

struct ig_prelu {
    struct ig_requantize requantize, negative; /* M, M' */
    const int8_t *sign;                        /* -1, 0 or 1; as many as M' has */
    int32_t x_zero_point, y_zero_point, low, high;
    int32_t channels; /* with a slope each, or 1 */
};

#endif
