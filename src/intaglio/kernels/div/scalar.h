/* The specification in C. Units are elements. Neighbours with the same divisor share its reciprocal.
 * Macros: IG_NAME, IG_A, IG_B, IG_Y (element types), IG_SCALE (rounding rule).
 */
#include "div/div.h"

static void IG_NAME(const struct ig_div *p, const IG_A *a, const IG_B *b, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t last = p->rank - 1, run = p->size[last];
    const int32_t multiplier = p->requantize.multiplier[0];
    const ptrdiff_t a_step = p->a_stride[last], b_step = p->b_stride[last];
    int32_t divisor = 0, shift = 0;
    int64_t reciprocal = 0;
    (void)scratch;
    while (begin < end) {
        const int32_t first = begin % run, count = ig_minimum(run - first, end - begin);
        const IG_A *a_run = a + ig_offset(last, p->size, p->a_stride, begin / run) + first * a_step;
        const IG_B *b_run = b + ig_offset(last, p->size, p->b_stride, begin / run) + first * b_step;
        for (int32_t i = 0; i < count; i++) {
            const int32_t dividend = a_run[i * a_step] - p->a_zero_point, found = b_run[i * b_step] - p->b_zero_point;
            if (found == 0) {
                const int32_t value = dividend > 0 ? p->high : dividend < 0 ? p->low : p->y_zero_point;
                y[begin + i] = (IG_Y)ig_saturate(value, p->low, p->high);
                continue;
            }
            if (found != divisor) {
                const int32_t size = found < 0 ? -found : found, exponent = ig_floor_log2(size);
                const int64_t quotient = ig_divide((int64_t)1 << (16 + p->precision), (int64_t)size << (16 - exponent));
                divisor = found;
                shift = p->requantize.shift[0] + exponent;
                /* Beyond the largest shift a quotient is less than half a step. */
                reciprocal = shift > p->most_shift ? 0 : found < 0 ? -quotient : quotient;
                shift = ig_minimum(shift, p->most_shift);
            }
            y[begin + i] = (IG_Y)ig_saturate(p->y_zero_point + IG_SCALE(dividend * reciprocal, multiplier, shift),
                                             p->low, p->high);
        }
        begin += count;
    }
}
