/* Long short-term memory, the specification in C. Units are samples.
 *
 *     i, o, f = sigmoid(gate(sum)), g = tanh(gate(sum))                                       Q15
 *     c = clamp((f * c + round(i * g >> state_shift) + 2^14) >> 15)
 *     h = clamp(z_h + o * tanh(c) * M_h, low, high)
 *
 * Macros: IG_NAME, IG_Y (type of the output), IG_SCALE_H (rounding rule), and those of common/recurrent_sums.h.
 */
#include "common/recurrence.h"
#include "common/recurrent_sums.h"

static void IG_NAME(const struct ig_recurrence *p, const void *const *inputs, void *output, void *scratch,
                    int32_t begin, int32_t end)
{
    const int32_t h = p->size, k = 4 * h, steps = p->steps, width = steps * h;
    int32_t *sums = scratch, *terms = sums + k, *cell = terms + k;
    IG_H *hidden = (IG_H *)(cell + h);
    for (int32_t n = begin; n < end; n++) {
        const IG_X *x = (const IG_X *)inputs[0] + (size_t)n * steps * k;
        IG_Y *y = (IG_Y *)output + (size_t)n * width * (p->states ? 2 : 1);
        const IG_H *first = p->given ? (const IG_H *)inputs[1] + (size_t)n * h : (const IG_H *)p->start;
        const int16_t *state = p->given ? (const int16_t *)inputs[2] + (size_t)n * h : p->state_start;
        for (int32_t j = 0; j < h; j++) {
            hidden[j] = (IG_H)(first ? first[j] : p->h_zero_point);
            cell[j] = state ? state[j] : 0;
        }
        for (int32_t s = 0; s < steps; s++) {
            const int32_t t = p->reverse ? steps - 1 - s : s;
            IG_SUMS(p, x + (size_t)t * k, sums);
            IG_RECURRENT(p, hidden, terms, 0, k);
            for (int32_t j = 0; j < k; j++)
                sums[j] = ig_gate(sums[j] + terms[j], p->limit);
            for (int32_t j = 0; j < h; j++) {
                const int32_t i = ig_read_knots(p->sigmoid_table, sums[j]);
                const int32_t o = ig_read_knots(p->sigmoid_table, sums[j + h]);
                const int32_t f = ig_read_knots(p->sigmoid_table, sums[j + 2 * h]);
                const int32_t g = ig_read_knots(p->tanh_table, sums[j + 3 * h]);
                /* |f c| <= 32767 * 32768 and |i g| <= 32767 * 32768: the sum stays below 2^31 - 2^15. */
                const int32_t total = f * cell[j] + ig_round_off(i * g, p->state_shift);
                cell[j] = ig_saturate(ig_round_off(total, 15), INT16_MIN, INT16_MAX);
                const int32_t finer = ig_saturate(cell[j] * (1 << p->finer), INT16_MIN, INT16_MAX);
                const int32_t squashed = o * ig_read_knots(p->state_table, finer);
                hidden[j] = (IG_H)ig_saturate(
                    p->h_zero_point + IG_SCALE_H(squashed, p->to_hidden.multiplier[0], p->to_hidden.shift[0]), p->low,
                    p->high);
                y[(size_t)t * h + j] = (IG_Y)hidden[j];
                if (p->states)
                    y[(size_t)width + (size_t)t * h + j] = (IG_Y)ig_state_code(cell[j], p->gain);
            }
        }
    }
}
