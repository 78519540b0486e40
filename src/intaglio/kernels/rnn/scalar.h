/* Elman's recurrent layer, the specification in C. Units are samples.
 *
 *     h = clamp(z_h + tanh(gate(sum)) * M_h, low, high), or with max(gate(sum), 0) where there is no table
 *
 * Macros: IG_NAME, IG_Y (type of the output), IG_SCALE_H (rounding rule), and those of common/recurrent_sums.h.
 */
#include "common/recurrence.h"
#include "common/recurrent_sums.h"

static void IG_NAME(const struct ig_recurrence *p, const void *const *inputs, void *output, void *scratch,
                    int32_t begin, int32_t end)
{
    const int32_t h = p->size, steps = p->steps;
    int32_t *sums = scratch, *terms = sums + h;
    IG_H *hidden = (IG_H *)(terms + h);
    for (int32_t n = begin; n < end; n++) {
        const IG_X *x = (const IG_X *)inputs[0] + (size_t)n * steps * h;
        IG_Y *y = (IG_Y *)output + (size_t)n * steps * h;
        const IG_H *first = p->given ? (const IG_H *)inputs[1] + (size_t)n * h : (const IG_H *)p->start;
        for (int32_t j = 0; j < h; j++)
            hidden[j] = (IG_H)(first ? first[j] : p->h_zero_point);
        for (int32_t s = 0; s < steps; s++) {
            const int32_t t = p->reverse ? steps - 1 - s : s;
            IG_SUMS(p, x + (size_t)t * h, sums);
            IG_RECURRENT(p, hidden, terms, 0, h);
            for (int32_t j = 0; j < h; j++) {
                const int32_t sum = ig_gate(sums[j] + terms[j], p->limit);
                const int32_t value = p->tanh_table ? ig_read_knots(p->tanh_table, sum) : sum > 0 ? sum : 0;
                hidden[j] = (IG_H)ig_saturate(p->h_zero_point +
                                                  IG_SCALE_H(value, p->to_hidden.multiplier[0], p->to_hidden.shift[0]),
                                              p->low, p->high);
                y[(size_t)t * h + j] = (IG_Y)hidden[j];
            }
        }
    }
}
