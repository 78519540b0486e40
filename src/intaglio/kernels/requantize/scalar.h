/* The specification in C. Units are elements.
 * Macros: IG_NAME, IG_X, IG_Y (element types), IG_SCALE (rounding rule).
 */
#include "requantize/requantize.h"

static void IG_NAME(const struct ig_requantize_codes *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t multiplier = p->requantize.multiplier[0], shift = p->requantize.shift[0];
    (void)scratch;
    for (int32_t i = begin; i < end; i++)
        y[i] = (IG_Y)ig_saturate(p->y_zero_point + IG_SCALE((int64_t)x[i] - p->x_zero_point, multiplier, shift), p->low,
                                 p->high);
}
