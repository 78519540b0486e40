/* The specification in C. Units are rows.
 * Macros: IG_NAME, IG_X, IG_Y (element types).
 */
#include "softmax/softmax.h"

static void IG_NAME(const struct ig_softmax *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    (void)scratch;
    for (int32_t row = begin; row < end; row++) {
        const IG_X *from = x + (size_t)row * p->length;
        IG_Y *to = y + (size_t)row * p->length;
        int32_t largest = from[0];
        int64_t sum = 0;
        for (int32_t i = 1; i < p->length; i++)
            largest = from[i] > largest ? from[i] : largest;
        for (int32_t i = 0; i < p->length; i++)
            sum += ig_exponential(&p->exponential, largest - from[i]);
        for (int32_t i = 0; i < p->length; i++) {
            const int64_t e = ig_exponential(&p->exponential, largest - from[i]);
            to[i] = (IG_Y)ig_saturate(ig_divide(e * p->reciprocal_scale + (sum >> 1), sum) + p->y_zero_point, p->low,
                                      p->high);
        }
    }
}
