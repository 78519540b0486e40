/* exp and the reciprocal in gemmlowp's fixed point; the twin of number/gemmlowp.py. A number in Qm.n is raw / 2^n. */
#ifndef IG_GEMMLOWP_H
#define IG_GEMMLOWP_H

#include "common/fixedpoint.h"

/* exp(a) for a in [-1/4, 0), Q0.31 to Q0.31: a Taylor series around -1/8. */
static inline IG_UNUSED int32_t ig_exp_on_minus_quarter_to_zero(int32_t a)
{
    const int32_t x = a + (1 << 28), minus_eighth = 1895147668, third = 715827883;
    const int32_t x2 = ig_saturating_rounding_doubling_high_multiply(x, x);
    const int32_t x3 = ig_saturating_rounding_doubling_high_multiply(x2, x);
    const int32_t x4_over_4 = ig_rounding_divide_by_pot(ig_saturating_rounding_doubling_high_multiply(x2, x2), 2);
    const int32_t tail =
        ig_rounding_divide_by_pot(ig_saturating_rounding_doubling_high_multiply(x4_over_4 + x3, third) + x2, 1);
    return minus_eighth + ig_saturating_rounding_doubling_high_multiply(x + tail, minus_eighth);
}

/* exp(a) for a <= 0 in Q5.26, as Q0.31; exp(0) is 2^31 - 1. */
static inline IG_UNUSED int32_t ig_exp_on_negative_values(int32_t a)
{
    static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24;
    const int32_t low = (a & (quarter - 1)) - quarter; /* a modulo 1/4, in [-1/4, 0) */
    const int32_t rest = low - a;
    int32_t result = ig_exp_on_minus_quarter_to_zero(low * 32);
    for (int32_t k = 0; k < 7; k++)
        if (rest & ((int32_t)1 << (24 + k)))
            result = ig_saturating_rounding_doubling_high_multiply(result, powers[k]);
    return a == 0 ? INT32_MAX : result;
}

/* 1 / (1 + a) for a in [0, 1), Q0.31 to Q0.31: three Newton-Raphson steps. */
static inline IG_UNUSED int32_t ig_one_over_one_plus_x(int32_t a)
{
    const int32_t half_denominator = (int32_t)(((int64_t)a + INT32_MAX + 1) >> 1); /* ties up */
    int32_t x = 1515870810 + ig_saturating_rounding_doubling_high_multiply(half_denominator, -1010580540);
    for (int32_t k = 0; k < 3; k++) {
        const int32_t rest = (1 << 29) - ig_saturating_rounding_doubling_high_multiply(half_denominator, x);
        x += ig_saturating_shift_left(ig_saturating_rounding_doubling_high_multiply(x, rest), 2);
    }
    return ig_saturating_shift_left(x, 1);
}

#endif
