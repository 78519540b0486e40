/* The specification in C. Units are rows.
 * Macros: IG_NAME, IG_X, IG_Y, IG_KEEP (element types).
 */
#include "dynamic_masked_softmax/dynamic_masked_softmax.h"

static void IG_NAME(const struct ig_dynamic_masked_softmax *p, const IG_X *x, const IG_KEEP *mask, IG_Y *y,
                    void *scratch, int32_t begin, int32_t end)
{
    const ptrdiff_t step = p->keep_step;
    (void)scratch;
    for (int32_t row = begin; row < end; row++) {
        const IG_X *from = x + (size_t)row * p->length;
        IG_Y *to = y + (size_t)row * p->length;
        const IG_KEEP *keep = mask + ig_offset(p->rank, p->size, p->keep_stride, row);
        int32_t largest = INT32_MIN;
        int64_t sum = 0;
        for (int32_t i = 0; i < p->length; i++)
            largest = keep[i * step] && from[i] > largest ? from[i] : largest;
        const int empty = largest == INT32_MIN; /* no code is as small */
        for (int32_t i = 0; i < p->length; i++)
            if (keep[i * step] || empty)
                sum += ig_exponential(&p->exponential, empty ? 0 : largest - from[i]);
        for (int32_t i = 0; i < p->length; i++) {
            const int64_t e =
                keep[i * step] || empty ? ig_exponential(&p->exponential, empty ? 0 : largest - from[i]) : 0;
            to[i] = (IG_Y)ig_saturate(ig_divide(e * p->reciprocal_scale + (sum >> 1), sum) + p->y_zero_point, p->low,
                                      p->high);
        }
    }
}
