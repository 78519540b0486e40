/* lstm/scalar.h in vectors: the same integers. Units are samples.
 * Macros: IG_NAME, IG_H, IG_Y (types of the hidden state and the output), IG_KEPT (type of the hidden state between
 * steps), IG_PRODUCTS, IG_ACTIVATE, IG_KEEP_HIDDEN (functions of vector/recurrent_gates.h).
 */
#include "vector/recurrent_gates.h"

static void IG_NAME(const struct ig_recurrent *r, const void *const *inputs, void *output, void *scratch, int32_t begin,
                    int32_t end)
{
    const struct ig_recurrence *p = &r->layer;
    const int32_t h = p->size, padded = r->padded, steps = p->steps, width = steps * h;
    int32_t *terms = scratch, *cell = terms + r->rows;
    IG_KEPT *hidden = (IG_KEPT *)(cell + padded);
    uint8_t *room = (uint8_t *)(hidden + padded);
    for (int32_t n = begin; n < end; n++) {
        const int16_t *x = (const int16_t *)inputs[0] + (size_t)n * steps * 4 * h;
        IG_Y *y = (IG_Y *)output + (size_t)n * width * (p->states ? 2 : 1);
        const IG_H *first = p->given ? (const IG_H *)inputs[1] + (size_t)n * h : (const IG_H *)p->start;
        const int16_t *state = p->given ? (const int16_t *)inputs[2] + (size_t)n * h : p->state_start;
        for (int32_t j = 0; j < padded; j++) {
            hidden[j] = (IG_KEPT)(j < h && first ? first[j] : p->h_zero_point);
            cell[j] = j < h && state ? state[j] : 0;
        }
        for (int32_t s = 0; s < steps; s++) {
            const int32_t t = p->reverse ? steps - 1 - s : s;
            const int16_t *xs = x + (size_t)t * 4 * h;
            IG_Y *ys = y + (size_t)t * h;
            IG_PRODUCTS(r, hidden, room, terms, 0, r->panel_count, s);
            for (int32_t gate = 0; gate < 4; gate++)
                IG_ACTIVATE(r, xs, terms, gate, gate < 3 ? p->sigmoid_table : p->tanh_table);
            for (int32_t j = 0; j < h; j += IG_LANES) {
                const ig_v f = ig_load(terms + 2 * padded + j), g = ig_load(terms + 3 * padded + j);
                const ig_v next = ig_next_state(f, ig_load(cell + j), ig_load(terms + j), g, p->state_shift);
                const ig_v finer = ig_clamp_s32(ig_multiply(next, ig_splat(1 << p->finer)), INT16_MIN, INT16_MAX);
                const ig_v squashed = ig_multiply(ig_load(terms + padded + j), ig_knots(p->state_table, finer));
                ig_store(cell + j, next);
                IG_KEEP_HIDDEN(r, squashed, hidden, ys, j, h - j);
                if (p->states)
                    ig_store_s16(ys + width + j, ig_multiply(next, ig_splat(1 << p->gain)), INT16_MIN, INT16_MAX,
                                 h - j);
            }
        }
    }
}
