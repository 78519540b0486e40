/* Elementwise product of two tensors of codes, row by row; one of them may be a pixel that all pixels share.
 *
 * Macros: IG_NAME, IG_PIXEL_ (0: equal shapes; 1: the second operand is a pixel; 2: the first is), IG_FLIP_A_,
 * IG_FLIP_B_ (signed operands), IG_FORM_ (of requantization), IG_PACK. Where there is a pixel, it is b, else a comes
 * first.
 */
#ifndef IG_MUL_ROWS_H
#define IG_MUL_ROWS_H

#include "vector/rows.h"

struct ig_mul_rows {
    const int32_t *factors;             /* [IG_FACTORS][lanes] */
    int32_t a_zero_point, b_zero_point; /* of the unsigned codes */
    int32_t pieces, nbytes;             /* a row is so many pieces of so many bytes; a pixel is one */
    int32_t x_row, y_row;
    int32_t low, high;
};

#endif

#define IG_LOAD_(v, at, flip, zero_point)                                               \
    {                                                                                   \
        const ig_v bytes = flip ? ig_flip(ig_load_bytes(at, n)) : ig_load_bytes(at, n); \
        IG_TRANSPOSE(bytes, zero, zero, zero, v##0, v##1, v##2, v##3);                  \
        v##0 = ig_subtract(v##0, zero_point), v##1 = ig_subtract(v##1, zero_point);     \
        v##2 = ig_subtract(v##2, zero_point), v##3 = ig_subtract(v##3, zero_point);     \
    }
#define IG_PRODUCT_(n) const ig_v y##n = IG_REQUANTIZE(ig_multiply(a##n, b##n));

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_mul_rows *p = params;
    const struct ig_bounds bounds = ig_bounds(p->low, p->high);
    const ig_v a_zero = ig_splat(p->a_zero_point), b_zero = ig_splat(p->b_zero_point), zero = ig_splat(0);
    IG_LOAD_FACTOR(p->factors);
    (void)part0, (void)part1;
    for (int32_t i = row0; i < row1; i++) {
        const uint8_t *const one = (IG_PIXEL_ == 2 ? skip : x) + (ptrdiff_t)i * p->x_row;
        const uint8_t *const other = IG_PIXEL_ == 2 ? x : IG_PIXEL_ == 1 ? skip : skip + (ptrdiff_t)i * p->x_row;
        uint8_t *const to = y + (ptrdiff_t)i * p->y_row;
        for (int32_t k = 0; k < p->nbytes; k += 4 * IG_LANES) {
            const int32_t n = p->nbytes - k < 4 * IG_LANES ? p->nbytes - k : 4 * IG_LANES;
            ig_v b0, b1, b2, b3;
            IG_LOAD_(b, other + k, IG_FLIP_B_, b_zero)
            for (int32_t at = k, j = 0; j < p->pieces; j++, at += p->nbytes) {
                ig_v a0, a1, a2, a3;
                IG_LOAD_(a, one + at, IG_FLIP_A_, a_zero)
                IG_PRODUCT_(0)
                IG_PRODUCT_(1)
                IG_PRODUCT_(2)
                IG_PRODUCT_(3)
                ig_store_bytes(to + at, IG_PACK(y0, y1, y2, y3, bounds), n);
            }
        }
    }
}

#undef IG_LOAD_
#undef IG_PRODUCT_
