/* The specification in C. Units are elements.
 * Macros: IG_NAME, IG_A, IG_B, IG_Y (element types), IG_SCALE (rounding rule).
 */
#include "mul/mul.h"

static void IG_NAME(const struct ig_mul *p, const IG_A *a, const IG_B *b, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t last = p->rank - 1, run = p->size[last];
    const int32_t multiplier = p->requantize.multiplier[0], shift = p->requantize.shift[0];
    const ptrdiff_t a_step = p->a_stride[last], b_step = p->b_stride[last];
    (void)scratch;
    while (begin < end) {
        const int32_t first = begin % run, count = ig_minimum(run - first, end - begin);
        const IG_A *a_run = a + ig_offset(last, p->size, p->a_stride, begin / run) + first * a_step;
        const IG_B *b_run = b + ig_offset(last, p->size, p->b_stride, begin / run) + first * b_step;
        for (int32_t i = 0; i < count; i++) {
            const int64_t acc = (int64_t)(a_run[i * a_step] - p->a_zero_point) * (b_run[i * b_step] - p->b_zero_point);
            y[begin + i] = (IG_Y)ig_saturate(p->y_zero_point + IG_SCALE(acc, multiplier, shift), p->low, p->high);
        }
        begin += count;
    }
}
