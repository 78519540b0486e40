/* Elementwise sum and difference of operands that broadcast.
 *
 *     y = clamp(z_y + ((a - z_a) * left * M_a + sign * (b - z_b) * left * M_b) * M, low, high)
 *
 * `left` is a power of two, at most 2^20.
 */
#ifndef IG_ADD_H
#define IG_ADD_H

#include "common/requantize.h"
#include "common/walk.h"

struct ig_add {
    struct ig_requantize a_requantize, b_requantize, requantize;
    int32_t a_zero_point, b_zero_point, y_zero_point, left, sign, low, high;
    int32_t rank, size[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK];
};

#endif
