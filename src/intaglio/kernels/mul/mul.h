/* Elementwise product of operands that broadcast.
 *
 *     y = clamp(z_y + (a - z_a) * (b - z_b) * M, low, high)
 */
#ifndef IG_MUL_H
#define IG_MUL_H

#include "common/requantize.h"
#include "common/walk.h"

struct ig_mul {
    struct ig_requantize requantize;
    int32_t a_zero_point, b_zero_point, y_zero_point, low, high;
    int32_t rank, size[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK];
};

#endif
