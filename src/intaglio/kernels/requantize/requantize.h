/* Change of type and scale.   y = clamp(z_y + (x - z_x) * M, low, high) */
#ifndef IG_REQUANTIZE_KERNEL_H
#define IG_REQUANTIZE_KERNEL_H

#include "common/requantize.h"

struct ig_requantize_codes {
    struct ig_requantize requantize;
    int32_t x_zero_point, y_zero_point, low, high;
};

#endif
