/* Elementwise sum of two tensors of 16-bit codes around 0, row by row; see add_rows.h.
 *
 * Under the rule half_up the common scale is taken 16 bits up instead of 15, and the shift one further.
 *
 * Macros: IG_NAME, IG_FORM_ (of requantization), IG_LEFT_ (15 or 16), IG_A_HALF_, IG_B_HALF_ (1: the operand's factor
 * is one half exactly, so that a shift suffices), IG_SUBTRACT_ (0: a + b, 1: a - b, 2: b - a).
 */
#include "vector/add_struct.h"

#define IG_TERM_(v, half, factor)                    \
    v = ig_shift_right(v, half ? 2 : 16 - IG_LEFT_); \
    if (!half)                                       \
        v = IG_SCALE_BY(v, factor);
#define IG_SUM_(n)                                           \
    {                                                        \
        IG_TERM_(a##n, IG_A_HALF_, a_factor)                 \
        IG_TERM_(b##n, IG_B_HALF_, b_factor)                 \
        y##n = IG_SCALE_BY(IG_COMBINE_(a##n, b##n), factor); \
    }
#if IG_SUBTRACT_ == 2
#define IG_COMBINE_(s, t) ig_subtract(t, s)
#elif IG_SUBTRACT_ == 1
#define IG_COMBINE_(s, t) ig_subtract(s, t)
#else
#define IG_COMBINE_(s, t) ig_plus(s, t)
#endif

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_add_rows *p = params;
    const IG_FACTOR a_factor = IG_LOAD_FACTOR_AT(p->a_factors), b_factor = IG_LOAD_FACTOR_AT(p->b_factors),
                    factor = IG_LOAD_FACTOR_AT(p->factors);
    (void)part0, (void)part1, (void)a_factor, (void)b_factor;
    for (int32_t i = row0; i < row1; i++) {
        const uint8_t *from = x + (ptrdiff_t)i * p->x_row, *other = skip + (ptrdiff_t)i * p->y_row;
        uint8_t *to = y + (ptrdiff_t)i * p->y_row;
        for (int32_t k = 0; k < p->nbytes; k += 4 * IG_LANES) {
            const int32_t n = p->nbytes - k < 4 * IG_LANES ? p->nbytes - k : 4 * IG_LANES;
            const ig_v a = ig_load_bytes(from + k, n), b = ig_load_bytes(other + k, n);
            ig_v a0, a1, b0, b1, y0, y1;
            IG_RAISE(a, a0, a1);
            IG_RAISE(b, b0, b1);
            IG_SUM_(0)
            IG_SUM_(1)
            ig_store_bytes(to + k, ig_pack_s16(y0, y1, p->low, p->high), n);
        }
    }
}

#undef IG_TERM_
#undef IG_SUM_
#undef IG_COMBINE_
