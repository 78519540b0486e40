/* Softmax along rows as TFLite defines it for 8 bits.
 *
 *     d[i] = x[i] - max x;  where d[i] < diff_min: y[i] = qmin, and nothing is added to the sum; elsewhere
 *     e[i] = exp(SRDHM(d[i] << left, multiplier)) in Q0.31
 *     S = sum RoundingDivideByPOT(e[i], 12) in Q12.19
 *     y[i] = qmin + RoundingDivideByPOT(SRDHM(1 / S, e[i]), ...)
 */
#ifndef IG_SOFTMAX_TFLITE_H
#define IG_SOFTMAX_TFLITE_H

#include "common/gemmlowp.h"

struct ig_softmax_tflite {
    int32_t multiplier, left_shift, diff_min, low, high, length;
};

static inline IG_UNUSED int32_t ig_softmax_tflite_exp(const struct ig_softmax_tflite *p, int32_t difference)
{
    return ig_exp_on_negative_values(ig_saturating_rounding_doubling_high_multiply(
        ig_saturating_shift_left(difference, p->left_shift), p->multiplier));
}

#endif
