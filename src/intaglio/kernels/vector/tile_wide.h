/* The tile for 16-bit inputs whose sums need more than 32 bits. Macros: IG_NAME, IG_ROWS_ (output positions),
 * IG_BLOCKS_ (vectors of output channels), IG_Y (element type of the output), IG_SCALE (rounding rule).
 *
 * As many segments as are proved to fit are summed in 32 bits, in registers; these sums are added up in 64, in memory.
 */
#include "vector/gemm.h"

#define IG_DECLARE_(r, b) ig_v a##b##_##r = ig_splat(0);
#define IG_START_(b, _) IG_REPEAT(IG_ROWS_, IG_DECLARE_, b)
#define IG_WEIGHT_(b, _) const ig_v w##b = ig_load(w + b * IG_LANES * 4);
#define IG_MULTIPLY_(b, r) IG_DOT16(a##b##_##r, two, w##b);
#define IG_POSITION_(r, _)                                  \
    {                                                       \
        const ig_v two = ig_broadcast_pair_row(s, step, r); \
        IG_AGAIN(IG_BLOCKS_, IG_MULTIPLY_, r)               \
    }
#define IG_KEEP_(b, r) ig_store(part[r] + b * IG_LANES, a##b##_##r);
#define IG_KEEP_ALL_(r, _) IG_AGAIN(IG_BLOCKS_, IG_KEEP_, r)

static void IG_NAME(const struct ig_gemm *p, const struct ig_panel *panel, const uint8_t *x, uint8_t *y, int32_t n)
{
    enum { CHANNELS = IG_BLOCKS_ * IG_LANES };
    const struct ig_steps step = ig_steps(p->x_step);
    const int32_t *const multiplier = panel->factors, *const shift = panel->factors + CHANNELS;
    for (; n > 0; n--, x += IG_ROWS_ * p->x_step) {
        const int8_t *w = panel->weight;
        int64_t sum[IG_ROWS_][CHANNELS];
        int32_t part[IG_ROWS_][CHANNELS];
        for (int32_t r = 0; r < IG_ROWS_; r++)
            memcpy(sum[r], panel->wide_bias, sizeof sum[r]);
        for (int32_t i = 0; i < p->segment_count;) {
            const int32_t stop = p->segment_count - i < p->together ? p->segment_count : i + p->together;
            IG_AGAIN(IG_BLOCKS_, IG_START_, _)
            for (; i < stop; i++) {
                const uint8_t *s = x + p->segments[i], *const end = s + p->depth;
                for (; s < end; s += 4, w += CHANNELS * 4) {
                    IG_AGAIN(IG_BLOCKS_, IG_WEIGHT_, _)
                    IG_REPEAT(IG_ROWS_, IG_POSITION_, _)
                }
            }
            IG_REPEAT(IG_ROWS_, IG_KEEP_ALL_, _)
            for (int32_t r = 0; r < IG_ROWS_; r++)
                for (int32_t c = 0; c < CHANNELS; c++)
                    sum[r][c] += part[r][c];
        }
        for (int32_t r = 0; r < IG_ROWS_; r++, y += p->y_step) {
            IG_Y codes[CHANNELS];
            for (int32_t c = 0; c < CHANNELS; c++)
                codes[c] =
                    (IG_Y)ig_saturate(p->zero_point + IG_SCALE(sum[r][c], multiplier[c], shift[c]), p->low, p->high);
            memcpy(y, codes, (size_t)(panel->count < CHANNELS ? panel->count : CHANNELS) * sizeof *codes);
        }
    }
}

#undef IG_DECLARE_
#undef IG_START_
#undef IG_WEIGHT_
#undef IG_MULTIPLY_
#undef IG_POSITION_
#undef IG_KEEP_
#undef IG_KEEP_ALL_
