/* Units are runs of the output. Macros: IG_NAME, IG_X (element type). */
#include "pad/pad.h"

static void IG_NAME(const struct ig_pad *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t low = p->first > 0 ? p->first : 0, high = ig_minimum(p->first + p->x_run, p->run);
    (void)scratch;
    for (int32_t row = begin; row < end; row++) {
        IG_X *to = y + (size_t)row * p->run;
        int32_t rest = row, inside = 1;
        size_t from = 0, step = (size_t)p->x_run;
        for (int32_t k = p->rank - 1; k >= 0; k--) {
            const int32_t at = rest % p->size[k] - p->before[k];
            rest /= p->size[k];
            inside &= at >= 0 && at < p->x_size[k];
            from += inside ? (size_t)at * step : 0;
            step *= (size_t)p->x_size[k];
        }
        for (int32_t i = 0; i < (inside ? low : p->run); i++)
            to[i] = (IG_X)p->value;
        if (inside) {
            memcpy(to + low, x + from + (low - p->first), (size_t)(high - low) * sizeof *to);
            for (int32_t i = high; i < p->run; i++)
                to[i] = (IG_X)p->value;
        }
    }
}
