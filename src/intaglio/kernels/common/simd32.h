/* Two 16-bit numbers in a 32-bit register: the instructions of Cortex-M4 and M7 that the `dsp` kernels use, and the
 * same in plain C, so that those kernels can be tested anywhere. Everything wraps.
 */
#ifndef IG_SIMD32_H
#define IG_SIMD32_H

#include "common/fixedpoint.h"

/* Constants and working memory are read a word at a time, whatever they were written as. */
#if defined(__GNUC__)
typedef uint32_t __attribute__((may_alias)) ig_word;
#else
typedef uint32_t ig_word;
#endif

static inline IG_UNUSED uint32_t ig_load_word(const void *p) /* at any address */
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

#if defined(__ARM_FEATURE_SIMD32) && !defined(IG_NO_SIMD32)

static inline IG_UNUSED uint32_t ig_even_s8(uint32_t word) /* bytes 0 and 2, sign extended */
{
    uint32_t y;
    __asm__("sxtb16 %0, %1" : "=r"(y) : "r"(word));
    return y;
}
static inline IG_UNUSED uint32_t ig_odd_s8(uint32_t word) /* bytes 1 and 3 */
{
    uint32_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(word));
    return y;
}
static inline IG_UNUSED uint32_t ig_even_u8(uint32_t word)
{
    uint32_t y;
    __asm__("uxtb16 %0, %1" : "=r"(y) : "r"(word));
    return y;
}
static inline IG_UNUSED uint32_t ig_odd_u8(uint32_t word)
{
    uint32_t y;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(y) : "r"(word));
    return y;
}
static inline IG_UNUSED uint32_t ig_subtract_16(uint32_t a, uint32_t b) /* half by half */
{
    uint32_t y;
    __asm__("ssub16 %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}
/* acc + a0 * b0 + a1 * b1; the lower halves alone; the upper halves alone. */
#define IG_SMLAD(acc, a, b) __asm__("smlad %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b))
#define IG_SMLABB(acc, a, b) __asm__("smlabb %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b))
#define IG_SMLATT(acc, a, b) __asm__("smlatt %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b))

#else

static inline IG_UNUSED uint32_t ig_pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffff) | (uint32_t)high << 16;
}
static inline IG_UNUSED uint32_t ig_even_s8(uint32_t word)
{
    return ig_pair((int8_t)(word & 255), (int8_t)(word >> 16 & 255));
}
static inline IG_UNUSED uint32_t ig_odd_s8(uint32_t word) { return ig_even_s8(word >> 8); }
static inline IG_UNUSED uint32_t ig_even_u8(uint32_t word) { return word & 0x00ff00ff; }
static inline IG_UNUSED uint32_t ig_odd_u8(uint32_t word) { return word >> 8 & 0x00ff00ff; }
static inline IG_UNUSED uint32_t ig_subtract_16(uint32_t a, uint32_t b)
{
    return ((a - b) & 0xffff) | ((a >> 16) - (b >> 16)) << 16;
}
static inline IG_UNUSED uint32_t ig_product_low(uint32_t a, uint32_t b)
{
    return (uint32_t)((int32_t)(int16_t)(a & 0xffff) * (int16_t)(b & 0xffff));
}
#define IG_SMLABB(acc, a, b) ((acc) += ig_product_low(a, b))
#define IG_SMLATT(acc, a, b) ((acc) += ig_product_low((a) >> 16, (b) >> 16))
#define IG_SMLAD(acc, a, b) (IG_SMLABB(acc, a, b), IG_SMLATT(acc, a, b))

#endif

#define ig_even_int8_t ig_even_s8
#define ig_odd_int8_t ig_odd_s8
#define ig_even_uint8_t ig_even_u8
#define ig_odd_uint8_t ig_odd_u8

#endif
