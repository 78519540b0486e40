/* Gated recurrent unit, the specification in C. Units are samples.
 *
 *     z, r = sigmoid(gate(sum))                                                              Q15
 *     g = tanh(gate(sum + ((r * gate(recurrent + bias_r) + 2^11) >> 12)))       with IG_LINEAR
 *     g = tanh(gate(sum + recurrent of h'))                                    without: h' = h((r * s + 2^14) >> 15)
 *     s = clamp((z * s + round((2^15 - z) * g >> state_shift) + 2^14) >> 15)
 *     h(s) = clamp(z_h + s * M_h, low, high)
 *
 * Macros: IG_NAME, IG_Y (type of the output), IG_LINEAR, IG_SCALE_H (rounding rule), and those of
 * common/recurrent_sums.h.
 */
#include "common/recurrence.h"
#include "common/recurrent_sums.h"

static void IG_NAME(const struct ig_recurrence *p, const void *const *inputs, void *output, void *scratch,
                    int32_t begin, int32_t end)
{
    const int32_t h = p->size, k = 3 * h, steps = p->steps, width = steps * h;
    const int32_t multiplier = p->to_hidden.multiplier[0], shift = p->to_hidden.shift[0];
    int32_t *sums = scratch, *terms = sums + k, *state = terms + k;
    IG_H *hidden = (IG_H *)(state + h), *reset = hidden + h;
    for (int32_t n = begin; n < end; n++) {
        const IG_X *x = (const IG_X *)inputs[0] + (size_t)n * steps * k;
        IG_Y *y = (IG_Y *)output + (size_t)n * width * (p->states ? 2 : 1);
        const int16_t *first = p->given ? (const int16_t *)inputs[1] + (size_t)n * h : p->state_start;
        for (int32_t j = 0; j < h; j++) {
            state[j] = first ? first[j] : 0;
            hidden[j] = (IG_H)ig_saturate(p->h_zero_point + IG_SCALE_H(state[j], multiplier, shift), p->low, p->high);
        }
        for (int32_t s = 0; s < steps; s++) {
            const int32_t t = p->reverse ? steps - 1 - s : s;
            IG_SUMS(p, x + (size_t)t * k, sums);
            IG_RECURRENT(p, hidden, terms, 0, IG_LINEAR ? k : 2 * h);
            for (int32_t j = 0; j < 2 * h; j++)
                sums[j] = ig_read_knots(p->sigmoid_table, ig_gate(sums[j] + terms[j], p->limit));
            if (IG_LINEAR) {
                for (int32_t j = 0; j < h; j++) {
                    const int32_t product = ig_gate(terms[j + 2 * h] + p->bias[k + j], 1 << 15);
                    terms[j + 2 * h] = (sums[j + h] * product + (1 << 11)) >> 12;
                }
            } else {
                for (int32_t j = 0; j < h; j++) {
                    const int32_t kept = (sums[j + h] * state[j] + (1 << 14)) >> 15;
                    reset[j] =
                        (IG_H)ig_saturate(p->h_zero_point + IG_SCALE_H(kept, multiplier, shift), p->low, p->high);
                }
                IG_RECURRENT(p, reset, terms, 2 * h, k);
            }
            for (int32_t j = 0; j < h; j++) {
                const int32_t z = sums[j], sum = sums[j + 2 * h] + terms[j + 2 * h];
                const int32_t g = ig_read_knots(p->tanh_table, ig_gate(sum, p->limit));
                const int32_t total = z * state[j] + ig_round_off((32768 - z) * g, p->state_shift);
                state[j] = ig_saturate(ig_round_off(total, 15), INT16_MIN, INT16_MAX);
                hidden[j] =
                    (IG_H)ig_saturate(p->h_zero_point + IG_SCALE_H(state[j], multiplier, shift), p->low, p->high);
                y[(size_t)t * h + j] = (IG_Y)hidden[j];
                if (p->states)
                    y[(size_t)width + (size_t)t * h + j] = (IG_Y)ig_state_code(state[j], p->gain);
            }
        }
    }
}
