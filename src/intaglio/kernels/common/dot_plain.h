/* Dot products for processors without any help (Cortex-M0): four rows of weights share every input.
 *
 * Inputs and weights are unsigned bytes, because those load with an offset in one instruction; what was added to make
 * them so is taken off afterwards. Weights lie as [O / 4][K][4]. Sums wrap; the whole one is proved to fit 32 bits.
 */
#ifndef IG_DOT_PLAIN_H
#define IG_DOT_PLAIN_H

#include "common/finish.h"
#include "common/simd32.h"

/* One input with a weight of each row. In assembly for Thumb-1: four sums, two pointers and two values fill its eight
 * registers exactly, and gcc, which regroups the additions, looks for a ninth.
 */
#if defined(__thumb__) && !defined(__thumb2__) && defined(__OPTIMIZE__)
#define IG_FOUR(k)                                                                                                  \
    do {                                                                                                            \
        uint32_t value, product;                                                                                    \
        __asm__ volatile(                                                                                           \
            ".syntax unified\n\t"                                                                                   \
            "ldrb %[v], [%[x], %[k0]]\n\tldrb %[t], [%[w], %[k1]]\n\tmuls %[t], %[v], %[t]\n\t"                     \
            "adds %[a0], %[a0], %[t]\n\tldrb %[t], [%[w], %[k2]]\n\tmuls %[t], %[v], %[t]\n\t"                      \
            "adds %[a1], %[a1], %[t]\n\tldrb %[t], [%[w], %[k3]]\n\tmuls %[t], %[v], %[t]\n\t"                      \
            "adds %[a2], %[a2], %[t]\n\tldrb %[t], [%[w], %[k4]]\n\tmuls %[t], %[v], %[t]\n\t"                      \
            "adds %[a3], %[a3], %[t]\n\t"                                                                           \
            : [a0] "+l"(a0), [a1] "+l"(a1), [a2] "+l"(a2), [a3] "+l"(a3), [v] "=&l"(value), [t] "=&l"(product)      \
            : [x] "l"(x), [w] "l"(w), [k0] "i"(k), [k1] "i"(4 * (k)), [k2] "i"(4 * (k) + 1), [k3] "i"(4 * (k) + 2), \
              [k4] "i"(4 * (k) + 3)                                                                                 \
            : "cc", "memory");                                                                                      \
    } while (0)
#else
#define IG_FOUR(k)                    \
    do {                              \
        const uint32_t value = x[k];  \
        a0 += value * w[4 * (k)];     \
        a1 += value * w[4 * (k) + 1]; \
        a2 += value * w[4 * (k) + 2]; \
        a3 += value * w[4 * (k) + 3]; \
    } while (0)
#endif

static IG_UNUSED IG_APART void ig_dot_plain_4(const uint8_t *x, const uint8_t *w, int32_t n, uint32_t *sums)
{
    uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    const uint8_t *const end = x + n, *const fours = x + n / 4 * 4;
    for (; x != fours; x += 4, w += 16) {
        IG_FOUR(0);
        IG_FOUR(1);
        IG_FOUR(2);
        IG_FOUR(3);
    }
    for (; x != end; x++, w += 4)
        IG_FOUR(0);
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[3] = a3;
}

static inline IG_UNUSED uint32_t ig_sum_plain(const uint8_t *x, int32_t n)
{
    uint32_t sum = 0;
    for (const uint8_t *const end = x + n; x != end; x++)
        sum += *x;
    return sum;
}

/* The same of n bytes at a multiple of four, after the bits of `flip` have been changed in each. */
static inline IG_UNUSED uint32_t ig_flip_and_sum_plain(void *x, int32_t n, uint32_t flip)
{
    const uint32_t mask = 0x00ff00ff, flips = flip * 0x01010101;
    uint32_t sum = 0;
    ig_word *word = x;
    for (ig_word *const end = word + n / 4; word != end; word++) {
        const uint32_t four = *word ^ flips, two = (four & mask) + (four >> 8 & mask);
        *word = four;
        sum += (two & 0xffff) + (two >> 16);
    }
    uint8_t *byte = (uint8_t *)word;
    for (uint8_t *const end = (uint8_t *)x + n; byte != end; byte++) {
        *byte = (uint8_t)(*byte ^ flip);
        sum += *byte;
    }
    return sum;
}

#endif
