/* The specification in C. Units are elements of the output.
 * Macros: IG_NAME, IG_X (element type), IG_BETTER (> for the largest, < for the smallest).
 */
#include "reduce_max/reduce_max.h"

static void IG_NAME(const struct ig_reduce_max *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin, int32_t end)
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
        IG_X best[IG_REDUCTION_RUN];
        ptrdiff_t offset = 0;
        for (int32_t i = 0; i < count; i++)
            best[i] = from[i * step];
        for (int32_t k = 1; k < r->count; k++) {
            offset = ig_reduction_next(r, at, offset);
            for (int32_t i = 0; i < count; i++)
                best[i] = from[offset + i * step] IG_BETTER best[i] ? from[offset + i * step] : best[i];
        }
        memcpy(y + begin, best, (size_t)count * sizeof *y);
        begin += count;
    }
}
