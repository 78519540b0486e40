/* The specification in C. Units are elements. Macros: IG_NAME, IG_X, IG_Y, IG_T (element types, IG_T of the table). */
#include "lut/lut.h"

static void IG_NAME(const struct ig_lut *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const IG_T *tables = (const IG_T *)p->table;
    int32_t channel = begin % p->channels;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const IG_T *table = tables + (size_t)channel * p->entries;
        const int32_t offset = (x[i] - p->first) & p->mask;
        channel = channel + 1 < p->channels ? channel + 1 : 0;
        if (p->shift + p->fraction) {
            const int32_t block = offset >> p->shift, rest = offset - block * (1 << p->shift);
            const int32_t k = p->starts ? p->shifts[block] : p->shift, shift = k + p->fraction;
            const int32_t at = p->starts ? p->starts[block] + (rest >> k) : block, part = rest & ((1 << k) - 1);
            const int32_t rise = table[at + 1] - table[at];
            const int32_t sum = table[at] * (1 << k) + rise * part; /* 65535 * 255 + 2^13 < 2^31 */
            y[i] = (IG_Y)((sum + ((1 << shift) >> 1)) >> shift);
        } else {
            y[i] = (IG_Y)table[offset];
        }
    }
}
