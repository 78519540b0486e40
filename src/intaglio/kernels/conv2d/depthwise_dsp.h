/* Depthwise convolution with the DSP instructions of Cortex-M4 and M7, four channels at a time. Units are output rows.
 * As many output as input channels, a multiple of four; no dilation.
 *
 * Weights: w - z_w as 16-bit numbers, [C / 4][kh][kw][4], each four as (0, 2, 1, 3). The bias holds - z_x sum(w - z_w);
 * windows that leave the image are copied to `scratch` with z_x around.
 * Macros: IG_NAME, IG_X, IG_Y, IG_EVEN, IG_ODD, IG_FINISH (rounding rule), IG_PATCH, IG_CODE (name of a helper).
 */
#include "common/finish.h"
#include "common/simd32.h"
#include "conv2d/conv2d.h"
#include "conv2d/patch.h"

#ifndef IG_TAP
#define IG_TAP()                                                                          \
    do {                                                                                  \
        const uint32_t word = ig_load_word(at), even = IG_EVEN(word), odd = IG_ODD(word); \
        const uint32_t w_even = weight[0], w_odd = weight[1];                             \
        IG_SMLABB(acc0, even, w_even);                                                    \
        IG_SMLATT(acc2, even, w_even);                                                    \
        IG_SMLABB(acc1, odd, w_odd);                                                      \
        IG_SMLATT(acc3, odd, w_odd);                                                      \
        at += channels;                                                                   \
        weight += 2;                                                                      \
    } while (0)
#endif

static inline IG_Y IG_CODE(struct ig_last last, uint32_t acc, int32_t o)
{
    const int32_t k = o * last.step;
    return (IG_Y)IG_FINISH((int32_t)acc, last.multiplier[k], last.shift[k], last.zero_point, last.low, last.high);
}

static void IG_NAME(const struct ig_conv2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const struct ig_last last = IG_LAST(p);
    const int32_t channels = p->channels, kh = p->kernel[0], kw = p->kernel[1];
    for (int32_t i = begin; i < end; i++)
        for (int32_t j = 0; j < p->out_width; j++) {
            const int32_t row = i * p->strides[0] - p->pads[0], column = j * p->strides[1] - p->pads[1];
            const IG_X *from = scratch;
            const ig_word *weight = p->weight;
            IG_Y *const out = y + ((size_t)i * p->out_width + j) * channels;
            int32_t skip = 0; /* from the end of a row of the window to its next */
            if (row < 0 || column < 0 || row + kh > p->height || column + kw > p->width) {
                IG_PATCH(p, x, scratch, i, j);
            } else {
                from = x + ((size_t)row * p->width + column) * channels;
                skip = (p->width - kw) * channels;
            }
            for (int32_t c = 0; c < channels; c += 4) {
                const int32_t *const bias = (const int32_t *)p->bias + c;
                uint32_t acc0 = (uint32_t)bias[0], acc1 = (uint32_t)bias[1];
                uint32_t acc2 = (uint32_t)bias[2], acc3 = (uint32_t)bias[3];
                const IG_X *at = from + c;
                for (int32_t u = 0; u < kh; u++, at += skip) {
                    if (kw == 3) {
                        IG_TAP();
                        IG_TAP();
                        IG_TAP();
                    } else {
                        for (int32_t v = 0; v < kw; v++)
                            IG_TAP();
                    }
                }
                out[c] = IG_CODE(last, acc0, c);
                out[c + 1] = IG_CODE(last, acc1, c + 1);
                out[c + 2] = IG_CODE(last, acc2, c + 2);
                out[c + 3] = IG_CODE(last, acc3, c + 3);
            }
        }
}
