/* What the gates of a step need. Included once for each combination of the macros.
 * Macros: IG_PRODUCTS, IG_ACTIVATE, IG_KEEP_HIDDEN (names of the functions), IG_X_FORM_,
 * IG_HIDDEN_FORM_ (forms of requantization of the terms from the data and of the hidden state), IG_INPUT16_ (1: the
 * hidden state is kept in 16 bits), IG_FLIP_ and IG_SIGNS_ (as in vector/recurrent_product.h), IG_LONG_ (1: the codes
 * of the hidden state have 16 bits), IG_PACK.
 */
#include "vector/recurrent.h"

/* Terms from the hidden state, of panels `from` to `to`. With IG_SIGNS_, magnitudes and masks are made once for all of
 * them, in `room`. Every other step goes through the panels backwards, so that it begins with weights that the step
 * before has left in the first-level cache, which may be smaller than all of them.
 */
static inline void IG_PRODUCTS(const struct ig_recurrent *p, const void *hidden, uint8_t *room, int32_t *terms,
                               int32_t from, int32_t to, int32_t step)
{
    struct ig_hidden state = {hidden, NULL, 0};
#if IG_SIGNS_
    uint8_t *const negative = room + p->room;
    ig_v sums = ig_splat(0);
    int32_t lanes[IG_LANES];
    for (int32_t j = 0; j < p->depth; j += 4 * IG_LANES) {
        const ig_v codes = ig_load_bytes((const uint8_t *)hidden + j, p->depth - j);
        const ig_v x = IG_FLIP_ ? ig_flip(codes) : codes, magnitude = ig_magnitude(x), mask = ig_negative(x);
        ig_store(room + j, magnitude);
        ig_store(negative + j, mask);
        sums = ig_dot_signs(sums, magnitude, mask, ig_splat(0));
    }
    ig_store(lanes, sums);
    state.offset = IG_FLIP_ ? -128 * (p->room - p->depth) : 0; /* zeros that were read behind the end, flipped */
    for (int32_t k = 0; k < IG_LANES; k++)
        state.offset -= lanes[k];
    state.codes = room;
    state.negative = negative;
#else
    (void)room;
#endif
    for (int32_t k = from; k < to; k++) {
        const struct ig_recurrent_panel *panel = &p->panels[step & 1 ? to - 1 - (k - from) : k];
        panel->product(panel, &state, p->depth, terms + panel->at);
    }
}

/* Replace the terms from the hidden state of one gate by the values of its function:
 * table(gate(clamp((x - z_x) * M_x) + bias + term)), or max(gate(...), 0) where there is no table.
 */
static inline void IG_ACTIVATE(const struct ig_recurrent *p, const int16_t *x, int32_t *terms, int32_t gate,
                               const int16_t *table)
{
    const struct IG_CAT(ig_factor_, IG_X_FORM_) factor = IG_CAT(ig_load_factor_, IG_X_FORM_)(p->x_factor);
    const int32_t h = p->layer.size, limit = p->layer.limit;
    const int32_t *bias = p->layer.bias + (ptrdiff_t)gate * p->padded;
    const ig_v zero_point = ig_splat(p->layer.x_zero_point), left = ig_splat(1 << p->x_left), half = ig_splat(4);
    x += (ptrdiff_t)gate * h;
    terms += (ptrdiff_t)gate * p->padded;
    for (int32_t j = 0; j < h; j += IG_LANES) {
        const ig_v codes = ig_multiply(ig_subtract(ig_load_s16(x + j, h - j), zero_point), left);
        const ig_v term = ig_clamp_s32(IG_CAT(ig_requantize_, IG_X_FORM_)(codes, factor), -IG_TERM_MAX, IG_TERM_MAX);
        const ig_v total = ig_plus(ig_plus(term, ig_load(bias + j)), ig_load(terms + j));
        const ig_v sum = ig_clamp_s32(ig_shift_right(ig_plus(total, half), 3), -limit, limit - 1);
        ig_store(terms + j, table ? ig_knots(table, sum) : ig_clamp_s32(sum, 0, INT16_MAX));
    }
}

/* Codes of a new hidden state: a whole vector of them to the kept state, for the products, and n to y where it is not
 * NULL.
 */
IG_INLINE void IG_KEEP_HIDDEN(const struct ig_recurrent *p, ig_v value, void *kept, void *y, int32_t j, int32_t n)
{
    const struct IG_CAT(ig_factor_, IG_HIDDEN_FORM_) factor =
        IG_CAT(ig_load_factor_, IG_HIDDEN_FORM_)(p->hidden_factor);
    const ig_v codes =
        IG_CAT(ig_requantize_, IG_HIDDEN_FORM_)(ig_multiply(value, ig_splat(1 << p->hidden_left)), factor);
#if IG_INPUT16_
    ig_store_s16((int16_t *)kept + j, codes, p->layer.low, p->layer.high, IG_LANES);
#else
    const struct ig_bounds bounds = ig_bounds(p->layer.low, p->layer.high);
    IG_STORE_FULL_1(IG_PACK, (uint8_t *)kept + j, codes, bounds, IG_LANES);
#endif
    if (!y)
        return;
#if IG_LONG_
    ig_store_s16((int16_t *)y + j, codes, p->layer.low, p->layer.high, n);
#else
    const struct ig_bounds of_y = ig_bounds(p->layer.low, p->layer.high);
    IG_STORE_1(IG_PACK, (uint8_t *)y + j, codes, of_y, n);
#endif
}
