/* Exact integer helpers, the C twins of number/fixedpoint.py under the same names.
 *
 * No function here overflows, shifts by the width or more, or shifts a negative number to the left. `>>` of a negative
 * number is the arithmetic shift, as on every compiler that this code is built with (C leaves it to them).
 */
#ifndef IG_FIXEDPOINT_H
#define IG_FIXEDPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) && !defined(__clang__)
#define __attribute__(x)
#endif
#define IG_UNUSED __attribute__((unused))

/* Clamp to [low, high]. */
static inline IG_UNUSED int32_t ig_saturate(int64_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : (int32_t)x;
}

/* floor(x / 2^shift + 1/2): ties go up; 0 <= shift <= 62, |x| < 2^62. */
static inline IG_UNUSED int64_t ig_rounding_shift_right(int64_t x, int32_t shift)
{
    return shift > 0 ? (x + ((int64_t)1 << (shift - 1))) >> shift : x;
}

/* x / 2^shift to nearest, ties to even; 1 <= shift <= 62, |x| < 2^62. */
static inline IG_UNUSED int64_t ig_rounding_shift_right_even(int64_t x, int32_t shift)
{
    const int64_t total = x + ((int64_t)1 << (shift - 1)), up = total >> shift;
    return up - ((up & 1) & ((total & (((int64_t)1 << shift) - 1)) == 0));
}

/* x / 2^shift to nearest, ties away from zero; 1 <= shift <= 62, |x| < 2^62. */
static inline IG_UNUSED int64_t ig_rounding_shift_right_away(int64_t x, int32_t shift)
{
    const int64_t total = x + ((int64_t)1 << (shift - 1));
    return (total >> shift) - ((x < 0) & ((total & (((int64_t)1 << shift) - 1)) == 0));
}

/* x * 2^shift, saturated to int32; 0 <= shift <= 31. */
static inline IG_UNUSED int32_t ig_saturating_shift_left(int64_t x, int32_t shift)
{
    return ig_saturate((int64_t)ig_saturate(x, INT32_MIN, INT32_MAX) * ((int64_t)1 << shift), INT32_MIN, INT32_MAX);
}

/* round(a * b / 2^31), ties up; saturates at a = b = -2^31. gemmlowp's SaturatingRoundingDoublingHighMul. */
static inline IG_UNUSED int32_t ig_saturating_rounding_doubling_high_multiply(int32_t a, int32_t b)
{
    const int64_t product = (int64_t)a * b;
    /* Adding the nudge and dividing towards zero, as gemmlowp has it, is this floor in every case. */
    return ig_saturate((product + ((int64_t)1 << 30)) >> 31, INT32_MIN, INT32_MAX);
}

/* x / 2^exponent to nearest, ties away from zero; 0 <= exponent <= 31. gemmlowp's RoundingDivideByPOT. */
static inline IG_UNUSED int32_t ig_rounding_divide_by_pot(int32_t x, int32_t exponent)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1);
    const int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> exponent) + ((x & mask) > threshold);
}

/* floor(sqrt(x)), exact; 0 <= x < 2^62. Bit by bit: no division, which small processors lack. */
static inline IG_UNUSED int64_t ig_integer_sqrt(int64_t x)
{
    uint64_t rest = (uint64_t)x, root = 0;
    for (uint64_t bit = (uint64_t)1 << 60; bit; bit >>= 2) {
        const uint64_t next = root + bit;
        root >>= 1;
        if (rest >= next) {
            rest -= next;
            root += bit;
        }
    }
    return (int64_t)root;
}

/* Position of the highest set bit; x >= 1. */
static inline IG_UNUSED int32_t ig_floor_log2(int64_t x)
{
    int32_t position = 0;
    for (int32_t step = 32; step; step >>= 1)
        if (x >> (position + step) > 0)
            position += step;
    return position;
}

#endif
