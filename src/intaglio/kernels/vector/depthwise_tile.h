/* Macros: IG_NAME, IG_KERNEL_ROWS_, IG_CHUNKS_ (of four columns), IG_POSITIONS_ (neighbouring outputs in a row),
 * IG_SPREAD_ (1, 2 or 4), IG_ROWS_ (1 or 2 output rows), IG_STRIDE_ (of the rows), IG_FLIP_ (0 or 1: signed inputs),
 * IG_FULL_ (1: all channels of the group exist), IG_TERMS_ (1 to 3: weights beyond a byte are sums of so many),
 * IG_PACK, IG_FORM_ (of requantization).
 */
#include "vector/depthwise.h"

#if IG_SPREAD_ == 1 && IG_FULL_
#define IG_READ_(i) ig_load(s + columns[i])
#elif IG_SPREAD_ == 1
#define IG_READ_(i) ig_load_bytes(s + columns[i], count)
#elif IG_SPREAD_ == 2
#define IG_READ_(i) ig_load_bytes2(s + columns[i], spread, count)
#else
#define IG_READ_(i) ig_load_bytes4(s + columns[i], spread, count)
#endif
#if IG_FLIP_
#define IG_COLUMN_(i) ig_flip(IG_READ_(i))
#else
#define IG_COLUMN_(i) IG_READ_(i)
#endif
#define IG_START_(j, r) ig_v a##r##j##_0 = bias0, a##r##j##_1 = bias1, a##r##j##_2 = bias2, a##r##j##_3 = bias3;
#define IG_TERM_(j, r, term)                                                             \
    IG_DOT_MEMORY(a##r##j##_0, z0, w + ((j * IG_TERMS_ + term) * 4 + 0) * IG_LANES * 4); \
    IG_DOT_MEMORY(a##r##j##_1, z1, w + ((j * IG_TERMS_ + term) * 4 + 1) * IG_LANES * 4); \
    IG_DOT_MEMORY(a##r##j##_2, z2, w + ((j * IG_TERMS_ + term) * 4 + 2) * IG_LANES * 4); \
    IG_DOT_MEMORY(a##r##j##_3, z3, w + ((j * IG_TERMS_ + term) * 4 + 3) * IG_LANES * 4);
#if IG_TERMS_ == 3
#define IG_MULTIPLY_(j, r) IG_TERM_(j, r, 0) IG_TERM_(j, r, 1) IG_TERM_(j, r, 2)
#elif IG_TERMS_ == 2
#define IG_MULTIPLY_(j, r) IG_TERM_(j, r, 0) IG_TERM_(j, r, 1)
#else
#define IG_MULTIPLY_(j, r) IG_TERM_(j, r, 0)
#endif
#define IG_SCALE0_(j, b) a0##j##_##b = IG_REQUANTIZE(a0##j##_##b);
#define IG_SCALE1_(j, b) a1##j##_##b = IG_REQUANTIZE(a1##j##_##b);
#if IG_ROWS_ == 2
#define IG_FINISH_(b, _)                                        \
    {                                                           \
        IG_LOAD_FACTOR(g->factors + b * IG_FACTORS * IG_LANES); \
        IG_REPEAT(IG_POSITIONS_, IG_SCALE0_, b)                 \
        IG_REPEAT(IG_POSITIONS_, IG_SCALE1_, b)                 \
    }
#else
#define IG_FINISH_(b, _)                                        \
    {                                                           \
        IG_LOAD_FACTOR(g->factors + b * IG_FACTORS * IG_LANES); \
        IG_REPEAT(IG_POSITIONS_, IG_SCALE0_, b)                 \
    }
#endif
#if IG_SPREAD_ == 1 && IG_FULL_
#define IG_WRITE_(p, v) ig_store(p, v)
#elif IG_SPREAD_ == 1
#define IG_WRITE_(p, v) ig_store_bytes(p, v, count)
#elif IG_SPREAD_ == 2
#define IG_WRITE_(p, v) ig_store_bytes2(p, v, (IG_POSITIONS_) * channels, count)
#else
#define IG_WRITE_(p, v) ig_store_bytes4(p, v, (IG_POSITIONS_) * channels, count)
#endif
#define IG_STORE_(j, r)                                   \
    IG_WRITE_(y + r * (ptrdiff_t)p->y_row + j * channels, \
              IG_PACK(a##r##j##_0, a##r##j##_1, a##r##j##_2, a##r##j##_3, bounds));

/* Columns of input row u, and the taps that its chunk v meets in output row r. */
#define IG_LOAD_COLUMNS_(u, v)                                                                 \
    const uint8_t *const s = x + (u) * (ptrdiff_t)p->row_step;                                 \
    const int32_t *const columns = g->columns + (v) * 4;                                       \
    const ig_v x0 = IG_COLUMN_(0), x1 = IG_COLUMN_(1), x2 = IG_COLUMN_(2), x3 = IG_COLUMN_(3); \
    ig_v z0, z1, z2, z3;                                                                       \
    IG_TRANSPOSE(x0, x1, x2, x3, z0, z1, z2, z3);
#define IG_TAPS_(u, v) \
    ((const int8_t *)g->weight + ((u) * IG_CHUNKS_ + (v)) * IG_POSITIONS_ * IG_TERMS_ * 16 * IG_LANES)
#define IG_BOTH_(u, v)                                           \
    {                                                            \
        IG_LOAD_COLUMNS_(u, v)                                   \
        if (u < IG_KERNEL_ROWS_) {                               \
            const int8_t *const w = IG_TAPS_(u, v);              \
            IG_AGAIN(IG_POSITIONS_, IG_MULTIPLY_, 0)             \
        }                                                        \
        if (u >= IG_STRIDE_) {                                   \
            const int8_t *const w = IG_TAPS_(u - IG_STRIDE_, v); \
            IG_AGAIN(IG_POSITIONS_, IG_MULTIPLY_, 1)             \
        }                                                        \
    }

static void IG_NAME(const struct ig_depthwise *p, const struct ig_group *g, const uint8_t *x, uint8_t *y, int32_t n)
{
    const struct ig_bounds bounds = ig_bounds(p->low, p->high);
    const ptrdiff_t channels = p->y_step;
    const int32_t count = g->count;
    (void)count;
#if IG_SPREAD_ > 1
    const ptrdiff_t spread = (ptrdiff_t)IG_POSITIONS_ * p->x_step;
#endif
    const ig_v bias0 = ig_load(g->bias), bias1 = ig_load(g->bias + IG_LANES), bias2 = ig_load(g->bias + 2 * IG_LANES),
               bias3 = ig_load(g->bias + 3 * IG_LANES);
    for (; n > 0; n--, x += IG_POSITIONS_ * IG_SPREAD_ * p->x_step, y += IG_POSITIONS_ * IG_SPREAD_ * channels) {
        IG_AGAIN(IG_POSITIONS_, IG_START_, 0)
#if IG_ROWS_ == 2
        IG_AGAIN(IG_POSITIONS_, IG_START_, 1)
#define IG_INPUT_(u, _) IG_BOTH_(u, 0)
        IG_REPEAT(IG_INPUT_ROWS_, IG_INPUT_, _)
#undef IG_INPUT_
#else
#pragma GCC unroll 4
        for (int32_t u = 0; u < IG_KERNEL_ROWS_; u++)
#pragma GCC unroll 2
            for (int32_t v = 0; v < IG_CHUNKS_; v++) {
                const int8_t *const w = IG_TAPS_(u, v);
                IG_LOAD_COLUMNS_(u, v)
                IG_AGAIN(IG_POSITIONS_, IG_MULTIPLY_, 0)
            }
#endif
        IG_AGAIN(4, IG_FINISH_, _)
        IG_AGAIN(IG_POSITIONS_, IG_STORE_, 0)
#if IG_ROWS_ == 2
        IG_AGAIN(IG_POSITIONS_, IG_STORE_, 1)
#endif
    }
}

#undef IG_READ_
#undef IG_COLUMN_
#undef IG_START_
#undef IG_TERM_
#undef IG_MULTIPLY_
#undef IG_SCALE0_
#undef IG_SCALE1_
#undef IG_FINISH_
#undef IG_WRITE_
#undef IG_STORE_
#undef IG_LOAD_COLUMNS_
#undef IG_TAPS_
#undef IG_BOTH_
