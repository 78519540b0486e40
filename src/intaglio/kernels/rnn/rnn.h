/* rnn/scalar.h in vectors: the same integers. Units are samples.
 * Macros: IG_NAME, IG_H, IG_Y (types of the hidden state and the output), IG_KEPT (type of the hidden state between
 * steps), IG_PRODUCTS, IG_ACTIVATE, IG_KEEP_HIDDEN (functions of vector/recurrent_gates.h).
 */
#include "vector/recurrent_gates.h"

static void IG_NAME(const struct ig_recurrent *r, const void *const *inputs, void *output, void *scratch, int32_t begin,
                    int32_t end)
{
    const struct ig_recurrence *p = &r->layer;
    const int32_t h = p->size, padded = r->padded, steps = p->steps;
    int32_t *terms = scratch;
    IG_KEPT *hidden = (IG_KEPT *)(terms + r->rows);
    uint8_t *room = (uint8_t *)(hidden + padded);
    for (int32_t n = begin; n < end; n++) {
        const int16_t *x = (const int16_t *)inputs[0] + (size_t)n * steps * h;
        IG_Y *y = (IG_Y *)output + (size_t)n * steps * h;
        const IG_H *first = p->given ? (const IG_H *)inputs[1] + (size_t)n * h : (const IG_H *)p->start;
        for (int32_t j = 0; j < padded; j++)
            hidden[j] = (IG_KEPT)(j < h && first ? first[j] : p->h_zero_point);
        for (int32_t s = 0; s < steps; s++) {
            const int32_t t = p->reverse ? steps - 1 - s : s;
            IG_PRODUCTS(r, hidden, room, terms, 0, r->panel_count, s);
            IG_ACTIVATE(r, x + (size_t)t * h, terms, 0, p->tanh_table);
            for (int32_t j = 0; j < h; j += IG_LANES)
                IG_KEEP_HIDDEN(r, ig_load(terms + j), hidden, y + (size_t)t * h, j, h - j);
        }
    }
}
