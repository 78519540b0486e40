/* Macros: IG_NAME, IG_ROWS_ (output positions), IG_BLOCKS_ (vectors of output channels), IG_FLIP_ (0 or 1: signed
 * inputs), IG_FORM_ (of requantization), IG_WIDE_ (0: codes of 8 bits, packed by IG_PACK; 1: of 16), IG_FULL_ (1:
 * all channels of the panel exist), IG_ASYMMETRIC_ (1: the weights have zero points, whose share is the sum of the
 * inputs of each position), IG_INPUT16_ (1: inputs and weights of 16 bits, two products a lane instead of four).
 *
 * All accumulators stay in registers; each step broadcasts four input bytes a position and loads one vector a block.
 */
#include "vector/gemm.h"

#define IG_DECLARE_(r, b) ig_v a##b##_##r = bias##b;
#define IG_START_(b, _)                                       \
    const ig_v bias##b = ig_load(panel->bias + b * IG_LANES); \
    IG_REPEAT(IG_ROWS_, IG_DECLARE_, b)
#define IG_WEIGHT_(b, _) const ig_v w##b = ig_load(w + b * IG_LANES * 4);
#if IG_INPUT16_
#define IG_MULTIPLY_(b, r) IG_DOT16(a##b##_##r, four, w##b);
#define IG_READ_(r) ig_broadcast_pair_row(s, step, r)
#else
#define IG_MULTIPLY_(b, r) IG_DOT(a##b##_##r, four, w##b);
#if IG_FLIP_
#define IG_READ_(r) ig_flip(ig_broadcast_row(s, step, r))
#else
#define IG_READ_(r) ig_broadcast_row(s, step, r)
#endif
#endif
#if IG_ASYMMETRIC_
#define IG_SUM_(r) IG_DOT(sum##r, four, ones);
#define IG_DECLARE_SUM_(r, _) ig_v sum##r = ig_splat(0);
#define IG_CORRECT_(b, r) \
    a##b##_##r = ig_sub_product(a##b##_##r, sum##r, ig_load(panel->weight_zero_point + b * IG_LANES));
#define IG_CORRECT_ALL_(r, _) IG_AGAIN(IG_BLOCKS_, IG_CORRECT_, r)
#else
#define IG_SUM_(r)
#endif
#define IG_POSITION_(r, _)                    \
    {                                         \
        const ig_v four = IG_READ_(r);        \
        IG_AGAIN(IG_BLOCKS_, IG_MULTIPLY_, r) \
        IG_SUM_(r)                            \
    }
#define IG_SCALE_(r, b) a##b##_##r = IG_REQUANTIZE(a##b##_##r);
#define IG_FINISH_(b, _)                                            \
    {                                                               \
        IG_LOAD_FACTOR(panel->factors + b * IG_FACTORS * IG_LANES); \
        IG_REPEAT(IG_ROWS_, IG_SCALE_, b)                           \
    }
#if IG_FULL_
#define IG_STORE_GROUP_(size) IG_STORE_FULL_##size
#else
#define IG_STORE_GROUP_(size) IG_STORE_##size
#endif
#if IG_WIDE_
#define IG_STORE_BLOCK_(b, r) ig_store_s16(y + 2 * b * IG_LANES, a##b##_##r, p->low, p->high, count - b * IG_LANES);
#define IG_CODES_(r) IG_AGAIN(IG_BLOCKS_, IG_STORE_BLOCK_, r)
#elif IG_BLOCKS_ == 4
#define IG_CODES_(r) IG_STORE_GROUP_(4)(IG_PACK, y, a0_##r, a1_##r, a2_##r, a3_##r, bounds, count);
#elif IG_BLOCKS_ == 3
#define IG_CODES_(r)                                               \
    IG_STORE_GROUP_(2)(IG_PACK, y, a0_##r, a1_##r, bounds, count); \
    IG_STORE_GROUP_(1)(IG_PACK, y + 2 * IG_LANES, a2_##r, bounds, count - 2 * IG_LANES);
#elif IG_BLOCKS_ == 2
#define IG_CODES_(r) IG_STORE_GROUP_(2)(IG_PACK, y, a0_##r, a1_##r, bounds, count);
#else
#define IG_CODES_(r) IG_STORE_GROUP_(1)(IG_PACK, y, a0_##r, bounds, count);
#endif
#define IG_STORE_(r, _) IG_CODES_(r) y += y_step;

static void IG_NAME(const struct ig_gemm *p, const struct ig_panel *panel, const uint8_t *x, uint8_t *y, int32_t n)
{
    const struct ig_steps step = ig_steps(p->x_step);
    const ptrdiff_t y_step = p->y_step;
    const int32_t count = panel->count;
    (void)count;
#if !IG_WIDE_
    const struct ig_bounds bounds = ig_bounds(p->low, p->high);
#endif
    for (; n > 0; n--, x += IG_ROWS_ * p->x_step) {
        const int8_t *w = panel->weight;
        IG_AGAIN(IG_BLOCKS_, IG_START_, _)
#if IG_ASYMMETRIC_
        IG_REPEAT(IG_ROWS_, IG_DECLARE_SUM_, _)
#endif
        for (int32_t i = 0; i < p->segment_count; i++) {
            const uint8_t *s = x + p->segments[i], *const stop = s + p->depth;
#if IG_ASYMMETRIC_
            const uint8_t *one = p->ones;
#endif
            for (; s < stop; s += 4, w += IG_BLOCKS_ * IG_LANES * 4) {
#if IG_ASYMMETRIC_
                const ig_v ones = ig_broadcast(one);
                one += 4;
#endif
                IG_AGAIN(IG_BLOCKS_, IG_WEIGHT_, _)
                IG_REPEAT(IG_ROWS_, IG_POSITION_, _)
            }
        }
#if IG_ASYMMETRIC_
        IG_REPEAT(IG_ROWS_, IG_CORRECT_ALL_, _)
#endif
        IG_AGAIN(IG_BLOCKS_, IG_FINISH_, _)
        IG_REPEAT(IG_ROWS_, IG_STORE_, _)
    }
}

#undef IG_DECLARE_
#undef IG_START_
#undef IG_WEIGHT_
#undef IG_MULTIPLY_
#undef IG_READ_
#undef IG_POSITION_
#undef IG_SCALE_
#undef IG_FINISH_
#undef IG_STORE_
#undef IG_STORE_GROUP_
#undef IG_CODES_
#undef IG_SUM_
#if IG_WIDE_
#undef IG_STORE_BLOCK_
#endif
#if IG_ASYMMETRIC_
#undef IG_DECLARE_SUM_
#undef IG_CORRECT_
#undef IG_CORRECT_ALL_
#endif
