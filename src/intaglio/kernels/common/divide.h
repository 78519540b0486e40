/* Division of 64-bit numbers without a compiler's helper function where the processor has no instruction for it. */
#ifndef IG_DIVIDE_H
#define IG_DIVIDE_H

#include "common/fixedpoint.h"

#if UINTPTR_MAX <= 0xffffffff && !defined(IG_LONG_DIVISION)
#define IG_LONG_DIVISION 1
#endif

/* floor(x / y); 0 <= x < 2^63, 1 <= y < 2^63. */
static inline IG_UNUSED int64_t ig_divide(int64_t x, int64_t y)
{
#if defined(IG_LONG_DIVISION)
    uint64_t rest = (uint64_t)x, part = (uint64_t)y, quotient = 0, bit = 1;
    while (part <= rest >> 1) {
        part <<= 1;
        bit <<= 1;
    }
    for (; bit; bit >>= 1, part >>= 1)
        if (rest >= part) {
            rest -= part;
            quotient |= bit;
        }
    return (int64_t)quotient;
#else
    return x / y;
#endif
}

#endif
