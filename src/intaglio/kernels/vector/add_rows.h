/* Elementwise sum of two tensors of 8-bit codes, row by row.
 *
 * Under the rule half_up the common scale is taken 22 bits up instead of the 20 of its definition, and the shift two
 * further, which is the same number:
 *     ((x << 20) m + 2^(30 + s)) >> (31 + s)  =  ((x << 22) m + 2^(32 + s)) >> (33 + s),   |x| <= 255.
 *
 * Macros: IG_NAME, IG_FORM_ (of requantization), IG_LEFT_ (20 or 22), IG_A_HALF_, IG_B_HALF_ (1: the operand's factor
 * is one half exactly, so that a shift suffices), IG_FLIP_A_, IG_FLIP_B_ (signed operands), IG_SUBTRACT_ (0: a + b, 1:
 * a - b, 2: b - a), IG_PACK.
 */
#include "vector/add_struct.h"

#define IG_TERM_(name, v, half, zero, factor)                              \
    ig_v name = ig_shift_left(ig_subtract(v, zero), half ? 19 : IG_LEFT_); \
    if (!half)                                                             \
        name = IG_SCALE_BY(name, factor);
#define IG_SUM_(n)                                      \
    {                                                   \
        IG_TERM_(s, a##n, IG_A_HALF_, a_zero, a_factor) \
        IG_TERM_(t, b##n, IG_B_HALF_, b_zero, b_factor) \
        y##n = IG_SCALE_BY(IG_COMBINE_(s, t), factor);  \
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
    const struct ig_bounds bounds = ig_bounds(p->low, p->high);
    const IG_FACTOR a_factor = IG_LOAD_FACTOR_AT(p->a_factors), b_factor = IG_LOAD_FACTOR_AT(p->b_factors),
                    factor = IG_LOAD_FACTOR_AT(p->factors);
    const ig_v a_zero = ig_splat(p->a_zero_point), b_zero = ig_splat(p->b_zero_point), zero = ig_splat(0);
    (void)part0, (void)part1, (void)a_factor, (void)b_factor;
    for (int32_t i = row0; i < row1; i++) {
        const uint8_t *from = x + (ptrdiff_t)i * p->x_row, *other = skip + (ptrdiff_t)i * p->y_row;
        uint8_t *to = y + (ptrdiff_t)i * p->y_row;
        for (int32_t k = 0; k < p->nbytes; k += 4 * IG_LANES) {
            const int32_t n = p->nbytes - k < 4 * IG_LANES ? p->nbytes - k : 4 * IG_LANES;
            ig_v a = ig_load_bytes(from + k, n), b = ig_load_bytes(other + k, n);
            ig_v a0, a1, a2, a3, b0, b1, b2, b3, y0, y1, y2, y3;
            if (IG_FLIP_A_)
                a = ig_flip(a);
            if (IG_FLIP_B_)
                b = ig_flip(b);
            IG_TRANSPOSE(a, zero, zero, zero, a0, a1, a2, a3);
            IG_TRANSPOSE(b, zero, zero, zero, b0, b1, b2, b3);
            IG_SUM_(0)
            IG_SUM_(1)
            IG_SUM_(2)
            IG_SUM_(3)
            ig_store_bytes(to + k, IG_PACK(y0, y1, y2, y3, bounds), n);
        }
    }
}

#undef IG_TERM_
#undef IG_SUM_
#undef IG_COMBINE_
