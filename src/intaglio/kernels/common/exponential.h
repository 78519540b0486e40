/* exp of non-positive multiples of a scale, by two tables; the twin of program/exponential.py.
 *
 *     exp(-d * s) = high[d >> 8] * low[d & 255] * 2^-60,    0 <= d < 2^16;  Q30, one rounding
 */
#ifndef IG_EXPONENTIAL_H
#define IG_EXPONENTIAL_H

#include "common/fixedpoint.h"

struct ig_exponential {
    const int32_t *low, *high;   /* 256 entries each for 16 bits; up to 8 bits high has one entry */
    int32_t low_mask, high_mask; /* keep codes that their type does not have from leaving the tables */
};

static inline IG_UNUSED int64_t ig_exponential(const struct ig_exponential *p, int32_t d)
{
    return ((int64_t)p->high[(d >> 8) & p->high_mask] * p->low[d & p->low_mask] + (1 << 29)) >> 30;
}

#endif
