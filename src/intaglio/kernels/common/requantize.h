/* Multiplication of accumulators by a positive real factor, in integers, under each rounding rule.
 *
 *     half_up:  (acc * multiplier + 2^(30 + shift)) >> (31 + shift)
 *     half_even, half_away: half_up, minus 1 where the product is a tie and the result odd, or the product negative
 *     tflite:   RoundingDivideByPOT(SRDHM(saturating acc << max(-shift, 0), multiplier), max(shift, 0))
 *     shift:    (acc + 2^(shift - 1)) >> shift, a saturating left shift where shift <= 0
 *
 * `_wide`: accumulators of up to 48 bits; the multiplier's low 16 bits are zero.
 */
#ifndef IG_REQUANTIZE_H
#define IG_REQUANTIZE_H

#include "common/fixedpoint.h"

struct ig_requantize {
    const int32_t *multiplier; /* in [2^30, 2^31); tflite: in [2^29, 2^31) */
    const int32_t *shift;      /* positive means right */
    int32_t step;              /* 0: one factor for all; 1: one per channel */
};

static inline IG_UNUSED int64_t ig_scale_half_up(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_rounding_shift_right(acc * multiplier, 31 + shift);
}

static inline IG_UNUSED int64_t ig_scale_half_up_wide(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_rounding_shift_right(acc * (multiplier >> 16), 15 + shift);
}

static inline IG_UNUSED int64_t ig_scale_half_even(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_rounding_shift_right_even(acc * multiplier, 31 + shift);
}

static inline IG_UNUSED int64_t ig_scale_half_even_wide(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_rounding_shift_right_even(acc * (multiplier >> 16), 15 + shift);
}

static inline IG_UNUSED int64_t ig_scale_half_away(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_rounding_shift_right_away(acc * multiplier, 31 + shift);
}

static inline IG_UNUSED int64_t ig_scale_half_away_wide(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_rounding_shift_right_away(acc * (multiplier >> 16), 15 + shift);
}

static inline IG_UNUSED int64_t ig_scale_tflite(int64_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift < 0 ? -shift : 0, right = shift > 0 ? shift : 0;
    return ig_rounding_divide_by_pot(
        ig_saturating_rounding_doubling_high_multiply(ig_saturating_shift_left(acc, left), multiplier), right);
}

static inline IG_UNUSED int64_t ig_scale_shift(int64_t acc, int32_t multiplier, int32_t shift)
{
    (void)multiplier;
    return shift > 0 ? ig_rounding_shift_right(acc, shift) : ig_saturating_shift_left(acc, -shift);
}

static inline IG_UNUSED int64_t ig_scale_shift_wide(int64_t acc, int32_t multiplier, int32_t shift)
{
    return ig_scale_shift(acc, multiplier, shift);
}

#endif
