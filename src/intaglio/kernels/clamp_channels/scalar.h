/* The specification in C. Units are elements. Macros: IG_NAME, IG_X (element type).
 * The inner loop runs over channels that lie behind each other, so that compilers vectorise it.
 */
#include "clamp_channels/clamp_channels.h"

static void IG_NAME(const struct ig_clamp_channels *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin,
                    int32_t end)
{
    (void)scratch;
    for (int32_t i = begin; i < end;) {
        const int32_t first = i % p->channels;
        const int32_t run = p->channels - first < end - i ? p->channels - first : end - i;
        const int32_t *lower = p->lower + first, *upper = p->upper + first;
        for (int32_t c = 0; c < run; c++) {
            const int32_t v = x[i + c] < lower[c] ? lower[c] : x[i + c];
            y[i + c] = (IG_X)(v > upper[c] ? upper[c] : v);
        }
        i += run;
    }
}
