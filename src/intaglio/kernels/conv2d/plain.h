/* Convolution for processors without any help (Cortex-M0): no test for the image's edge in the inner loop, four output
 * channels at a time. Units are output rows. One group.
 *
 *     sum (x - z_x) (w - z_w) = sum x w - z_w sum x - z_x sum (w - z_w);  the last term is in the bias
 *
 * Weights: see common/dot_plain.h; weight_zero_point is of those unsigned weights, x_zero_point that of x as it is.
 * Macros: IG_NAME, IG_X, IG_Y, IG_OFFSET (128 where x is signed, else 0), IG_FINISH (rounding rule), IG_PATCH,
 * IG_CODE (name of a helper).
 */
#include "common/dot_plain.h"
#include "conv2d/conv2d.h"
#include "conv2d/patch.h"

static IG_APART IG_Y IG_CODE(const struct ig_conv2d *p, uint32_t acc, uint32_t sum, int32_t o)
{
    const int32_t k = o * p->requantize.step;
    const uint32_t z = (uint32_t)p->weight_zero_point[o * p->weight_zero_point_step];
    acc += (uint32_t)((const int32_t *)p->bias)[o] - z * sum;
    return (IG_Y)IG_FINISH((int32_t)acc, p->requantize.multiplier[k], p->requantize.shift[k], p->y_zero_point, p->low,
                           p->high);
}

static void IG_NAME(const struct ig_conv2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t taps = p->kernel[0] * p->kernel[1] * p->channels;
    const int direct = !IG_OFFSET && p->kernel[0] * p->kernel[1] == 1 && p->pads[0] + p->pads[1] == 0 &&
                       (p->out_height - 1) * p->strides[0] < p->height && (p->out_width - 1) * p->strides[1] < p->width;
    for (int32_t i = begin; i < end; i++)
        for (int32_t j = 0; j < p->out_width; j++) {
            IG_Y *const out = y + ((size_t)i * p->out_width + j) * p->out_channels;
            const uint8_t *from = scratch, *weight = p->weight;
            uint32_t sum;
            if (direct) {
                from = (const uint8_t *)x + ((size_t)i * p->strides[0] * p->width + j * p->strides[1]) * p->channels;
                sum = ig_sum_plain(from, taps);
            } else {
                IG_PATCH(p, x, scratch, i, j);
                sum = ig_flip_and_sum_plain(scratch, taps, IG_OFFSET);
            }
            for (int32_t o = 0; o < p->out_channels; o += 4, weight += 4 * taps) {
                uint32_t acc[4];
                ig_dot_plain_4(from, weight, taps, acc);
                for (int32_t c = 0; c < 4 && o + c < p->out_channels; c++)
                    out[o + c] = IG_CODE(p, acc[c], sum, o + c);
            }
        }
}
