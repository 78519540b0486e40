/* Depthwise convolution for processors without any help (Cortex-M0), four channels at a time. Units are output rows.
 * As many output as input channels; no dilation.
 *
 * Weights: w - z_w as 16-bit numbers, [C / 4][kh][kw][4]. The bias holds - z_x sum(w - z_w); windows that leave the
 * image are copied to `scratch` with z_x around.
 * Macros: IG_NAME, IG_X, IG_Y, IG_FINISH (rounding rule), IG_PATCH, and names of helpers: IG_CODE, IG_SUM.
 */
#include "common/finish.h"
#include "conv2d/conv2d.h"
#include "conv2d/patch.h"

static IG_APART IG_Y IG_CODE(const struct ig_conv2d *p, uint32_t acc, int32_t o)
{
    const int32_t k = o * p->requantize.step;
    acc += (uint32_t)((const int32_t *)p->bias)[o];
    return (IG_Y)IG_FINISH((int32_t)acc, p->requantize.multiplier[k], p->requantize.shift[k], p->y_zero_point, p->low,
                           p->high);
}

/* Four channels of one window. pixel, skip: from tap to tap, and from the end of a row to the next. */
static IG_APART void IG_SUM(const IG_X *at, int32_t pixel, int32_t skip, const int16_t *weight, int32_t kh, int32_t kw,
                            uint32_t *sums)
{
    uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (; kh; kh--, at += skip)
        for (const int16_t *const end = weight + 4 * kw; weight != end; weight += 4, at += pixel) {
            a0 += (uint32_t)(at[0] * weight[0]);
            a1 += (uint32_t)(at[1] * weight[1]);
            a2 += (uint32_t)(at[2] * weight[2]);
            a3 += (uint32_t)(at[3] * weight[3]);
        }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[3] = a3;
}

static void IG_NAME(const struct ig_conv2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t channels = p->channels, kh = p->kernel[0], kw = p->kernel[1];
    for (int32_t i = begin; i < end; i++)
        for (int32_t j = 0; j < p->out_width; j++) {
            const int32_t row = i * p->strides[0] - p->pads[0], column = j * p->strides[1] - p->pads[1];
            const IG_X *from = scratch;
            const int16_t *weight = p->weight;
            IG_Y *const out = y + ((size_t)i * p->out_width + j) * channels;
            int32_t line = kw * channels;
            if (row < 0 || column < 0 || row + kh > p->height || column + kw > p->width) {
                IG_PATCH(p, x, scratch, i, j);
            } else {
                from = x + ((size_t)row * p->width + column) * channels;
                line = p->width * channels;
            }
            for (int32_t c = 0; c < channels; c += 4) {
                const int32_t count = channels - c < 4 ? channels - c : 4;
                uint32_t acc[4] = {0, 0, 0, 0};
                if (count == 4) {
                    IG_SUM(from + c, channels, line - kw * channels, weight, kh, kw, acc);
                    weight += 4 * kh * kw;
                } else {
                    for (int32_t u = 0; u < kh; u++)
                        for (int32_t v = 0; v < kw; v++, weight += 4)
                            for (int32_t k = 0; k < count; k++)
                                acc[k] += (uint32_t)(from[u * line + v * channels + c + k] * weight[k]);
                }
                for (int32_t k = 0; k < count; k++)
                    out[c + k] = IG_CODE(p, acc[k], c + k);
            }
        }
}
