/* The specification in C. Units are elements. Macros: IG_NAME, IG_X, IG_Y (element types, IG_Y also the table's). */
#include "lut/lut.h"

static void IG_NAME(const struct ig_lut *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const IG_Y *tables = (const IG_Y *)p->table;
    int32_t channel = begin % p->channels;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const IG_Y *table = tables + (size_t)channel * p->entries;
        const int32_t offset = (x[i] - p->first) & p->mask;
        channel = channel + 1 < p->channels ? channel + 1 : 0;
        if (p->shift) {
            const int32_t at = offset >> p->shift, rest = offset - at * (1 << p->shift);
            const int32_t rise = table[at + 1] - table[at]; /* 65535 * 127 + 64 < 2^31 */
            y[i] = (IG_Y)(table[at] + ((rise * rest + (1 << (p->shift - 1))) >> p->shift));
        } else {
            y[i] = table[offset];
        }
    }
}
