/* Elementwise quotient of operands that broadcast.
 *
 *     d = b - z_b;  e = floor(log2 |d|);  r = floor(2^(16 + precision) / (|d| << (16 - e)))
 *     y = clamp(z_y + sign(d) (a - z_a) r * M 2^-e, low, high)
 *
 * d = 0: low, high or z_y by the sign of a - z_a.
 */
#ifndef IG_DIV_H
#define IG_DIV_H

#include "common/divide.h"
#include "common/requantize.h"
#include "common/walk.h"

struct ig_div {
    struct ig_requantize requantize;
    int32_t a_zero_point, b_zero_point, y_zero_point, precision, most_shift, low, high, rank;
    int32_t size[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK];
};

#endif
