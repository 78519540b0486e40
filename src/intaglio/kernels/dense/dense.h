/* Dense layer.
 *
 *     acc[m,o] = bias[o] + sum_k (x[m,k] - z_x) * (w[o,k] - z_w[o])
 *     y[m,o]   = clamp(z_y + acc * M[o], low, high)
 */
#ifndef IG_DENSE_H
#define IG_DENSE_H

#include "common/requantize.h"

struct ig_dense {
    const void *weight;               /* int8 or int16, (O, K) */
    const int32_t *weight_zero_point; /* (1) or (O); NULL: all are zero */
    const void *bias;                 /* int32 (int64 where the accumulator is wide), (O) */
    struct ig_requantize requantize;
    int32_t weight_zero_point_step;
    int32_t x_zero_point, y_zero_point, low, high;
    int32_t rows, depth, out_channels; /* M, K, O */
};

#endif
