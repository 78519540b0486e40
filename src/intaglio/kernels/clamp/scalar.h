/* The specification in C. Units are elements. Macros: IG_NAME, IG_X (element type). */
#include "clamp/clamp.h"

static void IG_NAME(const struct ig_clamp_codes *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t low = p->low, high = p->high;
    (void)scratch;
    for (int32_t i = begin; i < end; i++)
        y[i] = (IG_X)(x[i] < low ? low : x[i] > high ? high : x[i]);
}
