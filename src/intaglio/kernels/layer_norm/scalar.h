/* The specification in C. Units are rows.
 * Macros: IG_NAME, IG_X, IG_Y (element types), IG_ACC (type of the bias), IG_SCALE (rounding rule).
 */
#include "layer_norm/layer_norm.h"

static void IG_NAME(const struct ig_layer_norm *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t n = p->length;
    (void)scratch;
    for (int32_t row = begin; row < end; row++) {
        const IG_X *from = x + (size_t)row * n;
        IG_Y *to = y + (size_t)row * n;
        int64_t sum = 0, squares = 0;
        for (int32_t i = 0; i < n; i++) {
            sum += from[i];
            squares += (int64_t)from[i] * from[i];
        }
        const int64_t variance = (n * squares - sum * sum) * ((int64_t)1 << 2 * p->spread) + p->epsilon;
        const int32_t half = (61 - ig_floor_log2(variance)) >> 1;
        const int64_t reciprocal = ig_divide((int64_t)1 << 61, ig_integer_sqrt(variance * ((int64_t)1 << 2 * half)));
        const int32_t shift = 61 - half - p->spread - p->precision, right = shift > 0 ? shift : 0;
        for (int32_t i = 0; i < n; i++) {
            const int64_t normal = ig_rounding_shift_right(((int64_t)n * from[i] - sum) * reciprocal, right);
            const int64_t acc = normal * p->gain[i] + ((const IG_ACC *)p->bias)[i];
            to[i] = (IG_Y)ig_saturate(
                p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[0], p->requantize.shift[0]), p->low, p->high);
        }
    }
}
