/* Elementwise sum of two tensors of 16-bit codes around 0, row by row; see add_rows.h.
 *
 * The common scale is taken 16 bits up instead of the 15 of its definition, and the shift one further.
 *
 * Macros: IG_NAME, IG_A_HALF_, IG_B_HALF_ (1: the operand's factor is one half exactly, so that a shift suffices),
 * IG_SUBTRACT_ (0: a + b, 1: a - b, 2: b - a).
 */
#include "rows/add_struct.h"

#define IG_TERM_(v, half, factor) v = half ? ig_shift_right(v, 2) : ig_requantize_fast(v, factor);
#define IG_SUM_(n)                                                                                         \
    {                                                                                                      \
        IG_TERM_(a##n, IG_A_HALF_, a_factor)                                                               \
        IG_TERM_(b##n, IG_B_HALF_, b_factor)                                                               \
        const ig_v sum = IG_SUBTRACT_ == 2   ? ig_subtract(b##n, a##n)                                     \
                         : IG_SUBTRACT_ == 1 ? ig_subtract(a##n, b##n)                                     \
                                             : ig_plus(a##n, b##n);                                        \
        y##n = ig_requantize_fast(sum, factor);                                                            \
    }

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_add_rows *p = params;
    const struct ig_factor_fast a_factor = ig_load_factor_fast(p->a_factors), b_factor = ig_load_factor_fast(p->b_factors),
                                factor = ig_load_factor_fast(p->factors);
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
