/* Macros: IG_NAME, IG_POSITIONS_ (neighbouring outputs in a row), IG_FULL_ (1: all channels of the group exist),
 * IG_LONG_ (1: outputs of 16 bits; 0: of 8, packed by IG_PACK), IG_FORM_ (of requantization).
 */
#include "vector/depthwise.h"

#if IG_FULL_
#define IG_READ_(at) ig_load(at)
#else
#define IG_READ_(at) ig_load_bytes(at, 2 * count)
#endif
#define IG_START_(j, _) ig_v a##j##_0 = bias0, a##j##_1 = bias1;
#define IG_MULTIPLY_(j, _)                                                                           \
    {                                                                                                \
        const ig_v x0 = IG_READ_(x + j * step + taps[k]), x1 = IG_READ_(x + j * step + taps[k + 1]); \
        ig_v z0, z1;                                                                                 \
        IG_PAIRS(x0, x1, z0, z1);                                                                    \
        IG_DOT16(a##j##_0, z0, w0);                                                                  \
        IG_DOT16(a##j##_1, z1, w1);                                                                  \
    }
#define IG_SCALE_(j, b) a##j##_##b = IG_REQUANTIZE(a##j##_##b);
#define IG_FINISH_(b, _)                                        \
    {                                                           \
        IG_LOAD_FACTOR(g->factors + b * IG_FACTORS * IG_LANES); \
        IG_REPEAT(IG_POSITIONS_, IG_SCALE_, b)                  \
    }
#if IG_LONG_
#define IG_STORE_(j, _) ig_store_bytes(y + j * p->y_step, ig_pack_s16(a##j##_0, a##j##_1, p->low, p->high), 2 * count);
#else
#define IG_STORE_(j, _) IG_STORE_2(IG_PACK, y + j * p->y_step, a##j##_0, a##j##_1, bounds, count);
#endif

static void IG_NAME(const struct ig_depthwise *p, const struct ig_group *g, const uint8_t *x, uint8_t *y, int32_t n)
{
    const ptrdiff_t step = p->x_step;
    const int32_t *const taps = g->columns;
    const int32_t count = g->count;
    const ig_v bias0 = ig_load(g->bias), bias1 = ig_load(g->bias + IG_LANES);
#if !IG_LONG_
    const struct ig_bounds bounds = ig_bounds(p->low, p->high);
#endif
    for (; n > 0; n--, x += IG_POSITIONS_ * step, y += IG_POSITIONS_ * p->y_step) {
        const int8_t *w = g->weight;
        IG_REPEAT(IG_POSITIONS_, IG_START_, _)
        for (int32_t k = 0; k < g->taps; k += 2, w += 8 * IG_LANES) {
            const ig_v w0 = ig_load(w), w1 = ig_load(w + 4 * IG_LANES);
            IG_REPEAT(IG_POSITIONS_, IG_MULTIPLY_, _)
        }
        IG_AGAIN(2, IG_FINISH_, _)
        IG_REPEAT(IG_POSITIONS_, IG_STORE_, _)
    }
}

#undef IG_READ_
#undef IG_START_
#undef IG_MULTIPLY_
#undef IG_SCALE_
#undef IG_FINISH_
#undef IG_STORE_
