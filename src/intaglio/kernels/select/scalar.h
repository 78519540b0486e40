/* The specification in C. Units are elements.
 * Macros: IG_NAME, IG_CONDITION (its type), IG_X (an unsigned type of the elements' size).
 */
#include "select/select.h"

static void IG_NAME(const struct ig_select *p, const IG_CONDITION *condition, const IG_X *a, const IG_X *b, IG_X *y,
                    void *scratch, int32_t begin, int32_t end)
{
    const int32_t last = p->rank - 1, run = p->size[last];
    const ptrdiff_t step = p->condition_stride[last], a_step = p->a_stride[last], b_step = p->b_stride[last];
    (void)scratch;
    while (begin < end) {
        const int32_t first = begin % run, count = ig_minimum(run - first, end - begin);
        const IG_CONDITION *chosen =
            condition + ig_offset(last, p->size, p->condition_stride, begin / run) + first * step;
        const IG_X *a_run = a + ig_offset(last, p->size, p->a_stride, begin / run) + first * a_step;
        const IG_X *b_run = b + ig_offset(last, p->size, p->b_stride, begin / run) + first * b_step;
        for (int32_t i = 0; i < count; i++)
            y[begin + i] = chosen[i * step] ? a_run[i * a_step] : b_run[i * b_step];
        begin += count;
    }
}
