/* The specification in C. Units are elements.
 * Macros: IG_NAME, IG_A, IG_B (element types).
 */
#include "relation/relation.h"

static void IG_NAME(const struct ig_relation *p, const IG_A *a, const IG_B *b, uint8_t *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t last = p->rank - 1, run = p->size[last];
    const ptrdiff_t a_step = p->a_stride[last], b_step = p->b_stride[last];
    (void)scratch;
    while (begin < end) {
        const int32_t first = begin % run, count = ig_minimum(run - first, end - begin);
        const IG_A *a_run = a + ig_offset(last, p->size, p->a_stride, begin / run) + first * a_step;
        const IG_B *b_run = b + ig_offset(last, p->size, p->b_stride, begin / run) + first * b_step;
        for (int32_t i = 0; i < count; i++) {
            const int64_t d = ((int64_t)a_run[i * a_step] - p->a_zero_point) * p->a_multiplier -
                              ((int64_t)b_run[i * b_step] - p->b_zero_point) * p->b_multiplier - p->offset;
            y[begin + i] = (uint8_t)(d < 0 ? p->below : d > 0 ? p->above : p->equal);
        }
        begin += count;
    }
}
