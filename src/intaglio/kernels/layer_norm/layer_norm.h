/* Normalization of the n = inner * width elements of a group.
 *
 *     S = sum x,  m = floor(S / n),  R = S - n m;     not centred: m = z_x, R = 0
 *     D[i] = n (x[i] - m) - R
 *     V = ((n sum (x - m)^2 - R^2) << 2 spread) + epsilon
 *     r = 2^61 / floor(sqrt(V << 2h)),  V << 2h in [2^60, 2^62)
 *     N[i] = rounding (D[i] r) >> max(61 - h - spread - precision, 0)
 *     y[i] = clamp(z_y + (N[i] gain[i] + bias[i]) * M, low, high)
 *
 * Where spread is negative, D loses -spread bits, rounded, and V 2 (-spread) bits, floored.
 * Memory: (outer, inner, groups, width); gain and bias: (groups, width).
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
    int32_t spread, precision, centred, x_zero_point, y_zero_point, low, high, inner, groups, width;
    int32_t largest; /* of |N| of the elements */
};

/* What the elements of a group have in common. */
struct ig_normal {
    int64_t count, mean, rest, reciprocal;
    int32_t lost, right;
};

/* From n, sum x and sum x^2 of a group. */
static inline IG_UNUSED struct ig_normal ig_normal_of(const struct ig_layer_norm *p, int64_t n, int64_t sum,
                                                      int64_t squares)
{
    const int32_t lost = p->spread < 0 ? -p->spread : 0, more = p->spread < 0 ? 0 : p->spread;
    int64_t mean = p->x_zero_point, rest = 0;
    if (p->centred) {
        mean = sum >= 0 ? ig_divide(sum, n) : -1 - ig_divide(-1 - sum, n);
        rest = sum - n * mean;
    }
    const int64_t spread = squares - mean * (2 * sum - n * mean); /* sum (x - mean)^2 */
    const int64_t part = (n * (spread & (((int64_t)1 << 2 * lost) - 1)) - rest * rest) >> 2 * lost;
    const int64_t variance = (n * (spread >> 2 * lost) + part) * ((int64_t)1 << 2 * more) + p->epsilon;
    const int32_t half = (61 - ig_floor_log2(variance)) >> 1;
    const int64_t reciprocal = ig_divide((int64_t)1 << 61, ig_integer_sqrt(variance * ((int64_t)1 << 2 * half)));
    const int32_t shift = 61 - half - more - p->precision;
    const struct ig_normal found = {n, mean, rest, reciprocal, lost, shift > 0 ? shift : 0};
    return found;
}

/* N of one element. */
static inline IG_UNUSED int64_t ig_normal_apply(const struct ig_normal *normal, int64_t x)
{
    const int64_t deviation = ig_rounding_shift_right(normal->count * (x - normal->mean) - normal->rest, normal->lost);
    return ig_rounding_shift_right(deviation * normal->reciprocal, normal->right);
}

#endif
