/* Terms from the hidden state for one panel: clamp((bias + sum_j h[j] w[k,j]) * M[k]), in Q14.
 *
 * Macros: IG_NAME, IG_BLOCKS_ (vectors of rows), IG_FORM_ (of requantization), IG_FLIP_ (1: the top bit of the hidden
 * state's bytes is flipped on reading), IG_SIGNS_ (1: the hidden state comes as magnitudes
 * and masks of the negative bytes), IG_INPUT16_ (1: hidden state and weights of 16 bits, two products a lane instead of
 * four).
 */
#include "vector/recurrent.h"

#if IG_SIGNS_
#define IG_START_(b, _) ig_v a##b = ig_plus(ig_load(panel->bias + b * IG_LANES), offset);
#else
#define IG_START_(b, _) ig_v a##b = ig_load(panel->bias + b * IG_LANES);
#endif
#if IG_INPUT16_
#define IG_READ_ ig_broadcast_pair_row(hidden, step, 0)
#define IG_MULTIPLY_(b, _) IG_DOT16(a##b, four, ig_load(w + b * IG_LANES * 4));
#elif IG_SIGNS_
#define IG_READ_ ig_broadcast(hidden)
#define IG_MULTIPLY_(b, _) IG_DOT_SIGNS(a##b, four, negative, w + b * IG_LANES * 4);
#else
#if IG_FLIP_
#define IG_READ_ ig_flip(ig_broadcast(hidden))
#else
#define IG_READ_ ig_broadcast(hidden)
#endif
#define IG_MULTIPLY_(b, _) IG_DOT_MEMORY(a##b, four, w + b * IG_LANES * 4);
#endif
#define IG_FINISH_(b, _)                                                                             \
    {                                                                                                \
        IG_LOAD_FACTOR(panel->factors + b * IG_FACTORS * IG_LANES);                                  \
        const ig_v sum = ig_multiply(a##b, ig_load(panel->left + b * IG_LANES));                     \
        ig_store(terms + b * IG_LANES, ig_clamp_s32(IG_REQUANTIZE(sum), -IG_TERM_MAX, IG_TERM_MAX)); \
    }

static void IG_NAME(const struct ig_recurrent_panel *panel, const struct ig_hidden *state, int32_t depth,
                    int32_t *terms)
{
    const int8_t *w = panel->weight;
    const uint8_t *hidden = state->codes, *const stop = hidden + depth;
#if IG_SIGNS_
    const uint8_t *mask = state->negative;
    const ig_v offset = ig_splat(state->offset);
#endif
#if IG_INPUT16_
    const struct ig_steps step = ig_steps(0);
#endif
    IG_REPEAT(IG_BLOCKS_, IG_START_, _)
    for (; hidden < stop; hidden += 4, w += IG_BLOCKS_ * IG_LANES * 4) {
        const ig_v four = IG_READ_;
#if IG_SIGNS_
        const ig_v negative = ig_broadcast(mask);
        mask += 4;
#endif
        IG_REPEAT(IG_BLOCKS_, IG_MULTIPLY_, _)
    }
    IG_REPEAT(IG_BLOCKS_, IG_FINISH_, _)
}

#undef IG_START_
#undef IG_READ_
#undef IG_MULTIPLY_
#undef IG_FINISH_
