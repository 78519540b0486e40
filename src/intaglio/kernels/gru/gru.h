/* gru/scalar.h in vectors: the same integers. Units are samples.
 * Macros: IG_NAME, IG_Y (type of the output), IG_KEPT (type of the hidden state between
 * steps), IG_LINEAR, IG_PRODUCTS, IG_ACTIVATE, IG_KEEP_HIDDEN (functions of vector/recurrent_gates.h).
 */
#include "vector/recurrent_gates.h"

static void IG_NAME(const struct ig_recurrent *r, const void *const *inputs, void *output, void *scratch, int32_t begin,
                    int32_t end)
{
    const struct ig_recurrence *p = &r->layer;
    const int32_t h = p->size, padded = r->padded, steps = p->steps, width = steps * h;
    int32_t *terms = scratch, *state = terms + r->rows;
    IG_KEPT *hidden = (IG_KEPT *)(state + padded), *reset = hidden + padded;
    uint8_t *room = (uint8_t *)(reset + padded);
    for (int32_t n = begin; n < end; n++) {
        const int16_t *x = (const int16_t *)inputs[0] + (size_t)n * steps * 3 * h;
        IG_Y *y = (IG_Y *)output + (size_t)n * width * (p->states ? 2 : 1);
        const int16_t *first = p->given ? (const int16_t *)inputs[1] + (size_t)n * h : p->state_start;
        for (int32_t j = 0; j < padded; j++)
            state[j] = j < h && first ? first[j] : 0;
        for (int32_t j = 0; j < h; j += IG_LANES)
            IG_KEEP_HIDDEN(r, ig_load(state + j), hidden, NULL, j, 0);
        for (int32_t s = 0; s < steps; s++) {
            const int32_t t = p->reverse ? steps - 1 - s : s;
            const int16_t *xs = x + (size_t)t * 3 * h;
            IG_Y *ys = y + (size_t)t * h;
            IG_PRODUCTS(r, hidden, room, terms, 0, r->first_panels, s);
            IG_ACTIVATE(r, xs, terms, 0, p->sigmoid_table);
            IG_ACTIVATE(r, xs, terms, 1, p->sigmoid_table);
            for (int32_t j = 0; j < h; j += IG_LANES) {
                const ig_v gate = ig_load(terms + padded + j);
                if (IG_LINEAR) {
                    const ig_v sum = ig_plus(ig_load(terms + 2 * padded + j), ig_load(p->bias + 3 * padded + j));
                    const ig_v rounded = ig_shift_right(ig_plus(sum, ig_splat(4)), 3);
                    const ig_v product = ig_multiply(gate, ig_clamp_s32(rounded, INT16_MIN, INT16_MAX));
                    ig_store(terms + 2 * padded + j, ig_shift_right(ig_plus(product, ig_splat(1 << 11)), 12));
                } else {
                    const ig_v product = ig_multiply(gate, ig_load(state + j));
                    const ig_v kept = ig_shift_right(ig_plus(product, ig_splat(1 << 14)), 15);
                    IG_KEEP_HIDDEN(r, kept, reset, NULL, j, 0);
                }
            }
            if (!IG_LINEAR)
                IG_PRODUCTS(r, reset, room, terms, r->first_panels, r->panel_count, s);
            IG_ACTIVATE(r, xs, terms, 2, p->tanh_table);
            for (int32_t j = 0; j < h; j += IG_LANES) {
                const ig_v z = ig_load(terms + j), fresh = ig_load(terms + 2 * padded + j);
                const ig_v share = ig_subtract(ig_splat(32768), z);
                const ig_v next = ig_next_state(z, ig_load(state + j), share, fresh, p->state_shift);
                ig_store(state + j, next);
                IG_KEEP_HIDDEN(r, next, hidden, ys, j, h - j);
                if (p->states)
                    ig_store_s16(ys + width + j, ig_multiply(next, ig_splat(1 << p->gain)), INT16_MIN, INT16_MAX,
                                 h - j);
            }
        }
    }
}
