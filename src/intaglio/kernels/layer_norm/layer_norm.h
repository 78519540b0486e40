/* Layer normalization of rows of n elements.
 *
 *     D[i] = n x[i] - sum x
 *     V = ((n sum x^2 - (sum x)^2) << 2 spread) + epsilon
 *     r = 2^61 / floor(sqrt(V << 2h)),  V << 2h in [2^60, 2^62)
 *     N[i] = rounding (D[i] r) >> max(61 - h - spread - precision, 0)
 *     y[i] = clamp(z_y + (N[i] gain[i] + bias[i]) * M, low, high)
 */
#ifndef IG_LAYER_NORM_H
#define IG_LAYER_NORM_H

#include "common/divide.h"
#include "common/requantize.h"

struct ig_layer_norm {
    const int16_t *gain;
    const void *bias; /* int32 (int64 where the accumulator is wide) */
    int64_t epsilon;
    struct ig_requantize requantize;
    int32_t spread, precision, y_zero_point, low, high, length;
};

#endif
