/* The specification in C. Units are groups.
 * Macros: IG_NAME, IG_X, IG_Y (element types), IG_ACC (type of the bias), IG_SCALE (rounding rule).
 */
#include "layer_norm/layer_norm.h"

static void IG_NAME(const struct ig_layer_norm *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t width = p->width;
    const size_t step = (size_t)p->groups * width;
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const size_t group = (size_t)(unit % p->groups) * width;
        const size_t start = unit / p->groups * p->inner * step + group;
        const IG_X *from = x + start;
        IG_Y *to = y + start;
        int64_t sum = 0, squares = 0;
        for (int32_t k = 0; k < p->inner; k++)
            for (int32_t i = 0; i < width; i++) {
                const int64_t value = from[k * step + i];
                sum += value;
                squares += value * value;
            }
        const struct ig_normal normal = ig_normal_of(p, (int64_t)p->inner * width, sum, squares);
        for (int32_t k = 0; k < p->inner; k++)
            for (int32_t i = 0; i < width; i++) {
                const int64_t acc = ig_normal_apply(&normal, from[k * step + i]) * p->gain[group + i] +
                                    ((const IG_ACC *)p->bias)[group + i];
                to[k * step + i] = (IG_Y)ig_saturate(
                    p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[0], p->requantize.shift[0]), p->low,
                    p->high);
            }
    }
}
