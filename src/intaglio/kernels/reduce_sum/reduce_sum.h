/* Sum over axes.   y = clamp(z_y + (sum x - count * z_x) * M, low, high) */
#ifndef IG_REDUCE_SUM_H
#define IG_REDUCE_SUM_H

#include "common/reduction.h"
#include "common/requantize.h"

struct ig_reduce_sum {
    struct ig_requantize requantize;
    int32_t x_zero_point, y_zero_point, low, high;
    struct ig_reduction reduction;
};

#endif
