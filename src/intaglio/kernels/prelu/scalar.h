/* The specification in C. Units are elements.
 * Macros: IG_NAME, IG_X, IG_Y (element types), IG_SCALE, IG_SCALE_NEGATIVE (rounding rules of M and M').
 */
#include "prelu/prelu.h"

static void IG_NAME(const struct ig_prelu *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    int32_t channel = begin % p->channels;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const int64_t steps = (int64_t)x[i] - p->x_zero_point;
        const int64_t scaled = steps >= 0 ? IG_SCALE(steps, p->requantize.multiplier[0], p->requantize.shift[0])
                                          : IG_SCALE_NEGATIVE(steps * p->sign[channel], p->negative.multiplier[channel],
                                                              p->negative.shift[channel]);
        y[i] = (IG_Y)ig_saturate(p->y_zero_point + scaled, p->low, p->high);
        channel = channel + 1 < p->channels ? channel + 1 : 0;
    }
}
