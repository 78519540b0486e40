/* Sum of bytes, for processors of 32 bits. Units are elements; operands of equal shape.
 *
 * Of an operand only d = x - z, nine bits, is multiplied, and the shift by 20 joins the one to the right:
 *     (d 2^20 M + 2^(30+s)) >> (31+s) = (d M + 2^(10+s)) >> (11+s)
 * With M = high 2^16 + low all parts stay inside 32 bits: |d high| < 2^24, |d low + 2^(10+s)| < 2^26; 0 <= s <= 14.
 * Macros: IG_NAME, IG_A, IG_B, IG_Y (element types), IG_OPERAND (rounding rule of the operands), IG_FINISH.
 */
#include "add/add.h"
#include "common/finish.h"

#ifndef IG_ADD_PLAIN_H
#define IG_ADD_PLAIN_H

static inline IG_UNUSED int32_t ig_operand_half_up(int32_t d, int32_t multiplier, int32_t shift)
{
    const int32_t low = d * (multiplier & 0xffff) + ((int32_t)1 << (10 + shift));
    const int32_t high = d * (multiplier >> 16) + (low >> 16);
    return shift >= 5 ? high >> (shift - 5) : high * ((int32_t)1 << (5 - shift)) + ((low & 0xffff) >> (11 + shift));
}

static inline IG_UNUSED int32_t ig_operand_tflite(int32_t d, int32_t multiplier, int32_t shift)
{
    return ig_rounding_divide_by_pot(ig_operand_half_up(d, multiplier, 0), shift);
}

#endif

static void IG_NAME(const struct ig_add *p, const IG_A *a, const IG_B *b, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t a_multiplier = p->a_requantize.multiplier[0], a_shift = p->a_requantize.shift[0];
    const int32_t b_multiplier = p->b_requantize.multiplier[0], b_shift = p->b_requantize.shift[0];
    const int32_t multiplier = p->requantize.multiplier[0], shift = p->requantize.shift[0];
    const int32_t z_a = p->a_zero_point, z_b = p->b_zero_point, z_y = p->y_zero_point, sign = p->sign;
    const int32_t low = p->low, high = p->high;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const int32_t left = IG_OPERAND(a[i] - z_a, a_multiplier, a_shift);
        const int32_t right = IG_OPERAND(b[i] - z_b, b_multiplier, b_shift);
        y[i] = (IG_Y)IG_FINISH(left + sign * right, multiplier, shift, z_y, low, high);
    }
}
