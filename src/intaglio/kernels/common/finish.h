/* From an accumulator to an output code, for processors of 32 bits: the usual case without 64-bit arithmetic.
 *
 *     y = clamp(z_y + acc * M, low, high), with exactly the integers of common/requantize.h
 */
#ifndef IG_FINISH_H
#define IG_FINISH_H

#include "common/requantize.h"

/* floor(a * b / 2^32); b >= 0. */
static inline IG_UNUSED int32_t ig_multiply_high(int32_t a, int32_t b)
{
#if defined(__ARM_ARCH_6M__) || defined(IG_NO_LONG_MULTIPLY)
    /* Four products of 16 bits; each sum below stays inside 32 bits (Warren, Hacker's Delight, 8-2). */
    const int32_t a_high = a >> 16, b_high = b >> 16;
    const uint32_t a_low = (uint32_t)a & 0xffff, b_low = (uint32_t)b & 0xffff;
    const int32_t middle = a_high * (int32_t)b_low + (int32_t)(a_low * b_low >> 16);
    const int32_t carry = (int32_t)a_low * b_high + (middle & 0xffff);
    return a_high * b_high + (middle >> 16) + (carry >> 16);
#else
    return (int32_t)((int64_t)a * b >> 32);
#endif
}

static inline IG_UNUSED int32_t ig_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* What the last step needs, by value: stores of bytes may alias a struct behind a pointer, which is then read again. */
struct ig_last {
    const int32_t *multiplier, *shift;
    int32_t step, zero_point, low, high;
};
#define IG_LAST(p) \
    {(p)->requantize.multiplier, (p)->requantize.shift, (p)->requantize.step, (p)->y_zero_point, (p)->low, (p)->high}

/* Functions that small processors should keep to themselves: their eight registers are soon used up by a caller's. */
#if defined(__GNUC__)
#define IG_APART __attribute__((noinline))
#else
#define IG_APART
#endif

/* From shift 2 on the rounding constant 2^(30 + shift) touches only the product's high word, so the low one is not
 * needed: floor((H * 2^32 + L + 2^(30+s)) / 2^(31+s)) = floor((H + 2^(s-2)) / 2^(s-1)); |H| < 2^30.
 */
static inline IG_UNUSED int32_t ig_finish_half_up_high(int32_t acc, int32_t multiplier, int32_t shift,
                                                       int32_t zero_point, int32_t low, int32_t high)
{
    return ig_clamp(((ig_multiply_high(acc, multiplier) + ((int32_t)1 << (shift - 2))) >> (shift - 1)) + zero_point,
                    low, high);
}

static inline IG_UNUSED int32_t ig_finish_half_up(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point,
                                                  int32_t low, int32_t high)
{
    if (shift >= 2)
        return ig_finish_half_up_high(acc, multiplier, shift, zero_point, low, high);
    return ig_saturate(zero_point + ig_scale_half_up(acc, multiplier, shift), low, high);
}

static inline IG_UNUSED int32_t ig_finish_half_even(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point,
                                                    int32_t low, int32_t high)
{
    return ig_saturate(zero_point + ig_scale_half_even(acc, multiplier, shift), low, high);
}

static inline IG_UNUSED int32_t ig_finish_half_away(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point,
                                                    int32_t low, int32_t high)
{
    return ig_saturate(zero_point + ig_scale_half_away(acc, multiplier, shift), low, high);
}

static inline IG_UNUSED int32_t ig_finish_tflite(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point,
                                                 int32_t low, int32_t high)
{
    return ig_saturate(zero_point + ig_scale_tflite(acc, multiplier, shift), low, high);
}

/* floor(acc / 2^s + 1/2) is floor(acc / 2^s) plus the bit below it. */
static inline IG_UNUSED int32_t ig_finish_shift(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero_point,
                                                int32_t low, int32_t high)
{
    if (shift >= 2)
        return ig_clamp((acc >> shift) + (acc >> (shift - 1) & 1) + zero_point, low, high);
    return ig_saturate(zero_point + ig_scale_shift(acc, multiplier, shift), low, high);
}

#endif
