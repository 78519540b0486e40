/* The specification in C. Units are elements of the output.
 * Macros: IG_NAME, IG_X, IG_Y (element types), IG_SCALE (rounding rule).
 */
#include "reduce_square/reduce_square.h"

static void IG_NAME(const struct ig_reduce_square *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const struct ig_reduction *r = &p->reduction;
    const int32_t last = r->rank - 1, run = r->size[last];
    const ptrdiff_t step = r->stride[last];
    (void)scratch;
    while (begin < end) {
        const int32_t first = begin % run;
        const int32_t count = ig_minimum(ig_minimum(run - first, end - begin), IG_REDUCTION_RUN);
        const IG_X *from = x + ig_offset(last, r->size, r->stride, begin / run) + first * step;
        int32_t at[IG_MAX_RANK] = {0};
        int64_t total[IG_REDUCTION_RUN] = {0};
        ptrdiff_t offset = 0;
        for (int32_t k = 0; k < r->count; k++) {
            for (int32_t i = 0; i < count; i++) {
                const int32_t value = from[offset + i * step] - p->x_zero_point;
                total[i] += (int64_t)value * value;
            }
            offset = ig_reduction_next(r, at, offset);
        }
        for (int32_t i = 0; i < count; i++) {
            const int64_t acc = p->root ? ig_integer_sqrt(total[i] * ((int64_t)1 << 2 * p->spread))
                                        : ig_rounding_shift_right(total[i], -p->spread);
            y[begin + i] = (IG_Y)ig_saturate(
                p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[0], p->requantize.shift[0]), p->low, p->high);
        }
        begin += count;
    }
}
