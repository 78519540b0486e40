/* The specification in C: plain loops. Units are output rows, of all images.
 * Macros: IG_NAME, IG_X, IG_Y, IG_W (types of input, output and weight), IG_ACC (accumulator), IG_SCALE (rounding
 * rule).
 */
#include "conv2d/conv2d.h"

static void IG_NAME(const struct ig_conv2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t each = p->channels / p->groups, outputs = p->out_channels / p->groups;
    const int32_t taps = p->kernel[0] * p->kernel[1] * each;
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const int32_t i = unit % p->out_height;
        const IG_X *image = x + (size_t)(unit / p->out_height) * p->height * p->width * p->channels;
        for (int32_t j = 0; j < p->out_width; j++)
            for (int32_t o = 0; o < p->out_channels; o++) {
                const IG_W *weight = (const IG_W *)p->weight + (size_t)o * taps;
                const int32_t z_w = p->weight_zero_point ? p->weight_zero_point[o * p->weight_zero_point_step] : 0;
                IG_ACC acc = ((const IG_ACC *)p->bias)[o];
                for (int32_t u = 0; u < p->kernel[0]; u++) {
                    const int32_t row = i * p->strides[0] + u * p->dilations[0] - p->pads[0];
                    if (row < 0 || row >= p->height)
                        continue;
                    for (int32_t v = 0; v < p->kernel[1]; v++) {
                        const int32_t column = j * p->strides[1] + v * p->dilations[1] - p->pads[1];
                        if (column < 0 || column >= p->width)
                            continue;
                        const IG_X *pixel =
                            image + ((size_t)row * p->width + column) * p->channels + o / outputs * each;
                        const IG_W *tap = weight + (u * p->kernel[1] + v) * each;
                        for (int32_t c = 0; c < each; c++)
                            acc += (IG_ACC)(pixel[c] - p->x_zero_point) * (tap[c] - z_w);
                    }
                }
                const int32_t k = o * p->requantize.step;
                y[((size_t)unit * p->out_width + j) * p->out_channels + o] = (IG_Y)ig_saturate(
                    p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[k], p->requantize.shift[k]), p->low,
                    p->high);
            }
    }
}
