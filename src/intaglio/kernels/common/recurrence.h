/* What the layers that loop over time share: their constants, a step's sums, tables of 16 bits.
 *
 *     sum[k] = clamp((x[k] - z_x) * M_x) + bias[k]                                        Q14
 *     recurrent[k] = clamp((product_bias[k] + sum_j h[j] * (w[k,j] - z_w[k])) * M[k])      Q14; z_h is in product_bias
 *     gate(v) = clamp((v + 4) >> 3, -limit, limit - 1)                                     Q11
 */
#ifndef IG_RECURRENCE_H
#define IG_RECURRENCE_H

#include "common/requantize.h"

struct ig_recurrence {
    const void *weight;               /* int8 or int16, (K, H) */
    const int32_t *weight_zero_point; /* (1) or (K); NULL: all are zero */
    const void *product_bias;         /* int32 (int64 where the accumulator is wide), (K) */
    const int32_t *bias;
    struct ig_requantize x_factor, requantize, to_hidden;
    const int16_t *sigmoid_table, *tanh_table, *state_table;
    const void *start;          /* codes of the hidden state, (H); NULL: all are h_zero_point */
    const int16_t *state_start; /* (H); NULL: all are 0 */
    int32_t weight_zero_point_step;
    int32_t x_zero_point, h_zero_point, low, high; /* of the hidden state */
    int32_t limit, state_shift, gain, finer;
    int32_t steps, size, gates;
    int32_t given;   /* whether initial states are inputs */
    int32_t reverse; /* whether the loop begins at the last step */
    int32_t states;  /* whether states are written behind the hidden states */
};

#define IG_TERM_MAX (1 << 20)

static inline IG_UNUSED int32_t ig_gate(int32_t total, int32_t limit)
{
    return ig_saturate((total + 4) >> 3, -limit, limit - 1);
}

/* Function of a code of 16 bits, from knots 64 codes apart: Q15. */
static inline IG_UNUSED int32_t ig_read_knots(const int16_t *table, int32_t code)
{
    const int32_t offset = code + 32768, i = offset >> 6, r = offset & 63;
    return (table[i] * 64 + (table[i + 1] - table[i]) * r + 32) >> 6;
}

/* floor(x / 2^shift + 1/2) in 32 bits: |x| < 2^31 - 2^14, shift up to 15. */
static inline IG_UNUSED int32_t ig_round_off(int32_t x, int32_t shift) { return (x + ((1 << shift) >> 1)) >> shift; }

/* State as it is written, with more bits behind the point. */
static inline IG_UNUSED int16_t ig_state_code(int32_t state, int32_t gain)
{
    return (int16_t)ig_saturate(ig_saturating_shift_left(state, gain), INT16_MIN, INT16_MAX);
}

#endif
