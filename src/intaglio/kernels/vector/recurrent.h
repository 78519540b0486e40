/* A step of a layer that loops over time, in vectors: the product of the hidden state and the recurrent weights panel
 * by panel, then the gates vector by vector. Rows of a gate are padded to a multiple of the lanes in everything that
 * lies in scratch memory and in constants; x and y are as they come.
 */
#ifndef IG_RECURRENT_H
#define IG_RECURRENT_H

#include "common/recurrence.h"
#include "isa/repeat.h"

/* The hidden state as the products take it. */
struct ig_hidden {
    const uint8_t *codes;    /* bytes, or their magnitudes, or numbers of 16 bits */
    const uint8_t *negative; /* with magnitudes: masks of the negative bytes */
    int32_t offset;          /* with magnitudes: what is added to every sum */
};

struct ig_recurrent_panel;
typedef void (*ig_recurrent_product)(const struct ig_recurrent_panel *panel, const struct ig_hidden *hidden,
                                     int32_t depth, int32_t *terms);

/* Some neighbouring rows of the recurrent weights: as many vectors as the function has accumulators. */
struct ig_recurrent_panel {
    const void *weight;  /* int8 [depth / 4][vectors][lanes][4], or int16 [depth / 4][vectors][pairs] */
    const int32_t *bias; /* [vectors][lanes]: what the zero point of the hidden state adds */
    const int32_t *left; /* [vectors][lanes]: powers of two, by which sums are multiplied before they are requantized */
    const int32_t *factors; /* [vectors][IG_FACTORS][lanes] */
    ig_recurrent_product product;
    int32_t at; /* its first row in the terms */
};

struct ig_recurrent {
    struct ig_recurrence layer; /* without weight and product_bias; the biases are padded */
    const struct ig_recurrent_panel *panels;
    const int32_t *x_factor, *hidden_factor; /* [IG_FACTORS][lanes]; that of the hidden state holds z_h */
    int32_t x_left, hidden_left;             /* bits by which these are shifted to the left first */
    int32_t panel_count, first_panels;       /* those after the first ones multiply the reset hidden state */
    int32_t padded;                          /* rows of a gate */
    int32_t rows;                            /* terms */
    int32_t depth;                           /* bytes of the hidden state, a multiple of 4 */
    int32_t room;                            /* the same, a multiple of a vector */
};

/* clamp((keep * state + round(share * fresh >> shift) + 2^14) >> 15) */
IG_INLINE ig_v ig_next_state(ig_v keep, ig_v state, ig_v share, ig_v fresh, int32_t shift)
{
    const ig_v added = ig_shift_right_by(ig_plus(ig_multiply(share, fresh), ig_splat((1 << shift) >> 1)), shift);
    const ig_v total = ig_plus(ig_multiply(keep, state), added);
    return ig_clamp_s32(ig_shift_right(ig_plus(total, ig_splat(1 << 14)), 15), INT16_MIN, INT16_MAX);
}

#endif
