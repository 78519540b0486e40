/* The specification in C. Units are rows. Macros: IG_NAME, IG_X, IG_Y (element types), IG_SCALE (rounding rule). */
#include "log_softmax/log_softmax.h"

static void IG_NAME(const struct ig_log_softmax *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t multiplier = p->requantize.multiplier[0], shift = p->requantize.shift[0];
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
        const int32_t k = ig_floor_log2(sum); /* at least 30: the largest element alone adds 2^30 */
        const int32_t fraction = (int32_t)((sum - ((int64_t)1 << k)) >> (k - 30));
        const int32_t at = fraction >> 22, rest = fraction & ((1 << 22) - 1);
        const int64_t rise = (int64_t)p->log_table[at + 1] - p->log_table[at];
        const int64_t log = (int64_t)(k - 30) * p->log_two + p->log_table[at] + ((rise * rest + (1 << 21)) >> 22);
        for (int32_t i = 0; i < p->length; i++) {
            const int64_t below =
                IG_SCALE((int64_t)largest - from[i], p->difference.multiplier[0], p->difference.shift[0]) + log;
            to[i] = (IG_Y)ig_saturate(p->y_zero_point + IG_SCALE(-below, multiplier, shift), p->low, p->high);
        }
    }
}
