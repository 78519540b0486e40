/* Sum of squares over axes, or its root.
 *
 *     S = sum (x - z_x)^2
 *     acc = floor(sqrt(S << 2 spread)) or rounding S >> -spread
 *     y = clamp(z_y + acc * M, low, high)
 */
#ifndef IG_REDUCE_SQUARE_H
#define IG_REDUCE_SQUARE_H

#include "common/reduction.h"
#include "common/requantize.h"

struct ig_reduce_square {
    struct ig_requantize requantize;
    int32_t root, spread, x_zero_point, y_zero_point, low, high;
    struct ig_reduction reduction;
};

#endif
