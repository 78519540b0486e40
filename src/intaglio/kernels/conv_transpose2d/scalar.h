/* The specification in C: plain loops. Units are output rows, of all images.
 * Macros: IG_NAME, IG_X, IG_Y, IG_W (types of input, output and weight), IG_ACC (accumulator), IG_SCALE (rounding
 * rule).
 */
#include "conv_transpose2d/conv_transpose2d.h"

static void IG_NAME(const struct ig_conv_transpose2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t each = p->channels / p->groups, outputs = p->out_channels / p->groups;
    const int32_t taps = p->kernel[0] * p->kernel[1] * each;
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const IG_X *image = x + (size_t)(unit / p->out_height) * p->height * p->width * p->channels;
        for (int32_t j = 0; j < p->out_width; j++)
            for (int32_t o = 0; o < p->out_channels; o++) {
                const IG_W *weight = (const IG_W *)p->weight + (size_t)o * taps;
                const int32_t z_w = p->weight_zero_point ? p->weight_zero_point[o * p->weight_zero_point_step] : 0;
                const int32_t k = o * p->requantize.step;
                IG_ACC acc = ((const IG_ACC *)p->bias)[o];
                for (int32_t u = 0; u < p->kernel[0]; u++) {
                    const int32_t row = ig_conv_transpose2d_source(p, 0, unit % p->out_height, u);
                    for (int32_t v = 0; row >= 0 && v < p->kernel[1]; v++) {
                        const int32_t column = ig_conv_transpose2d_source(p, 1, j, v);
                        const IG_W *tap = weight + (u * p->kernel[1] + v) * each;
                        if (column < 0)
                            continue;
                        const IG_X *pixel =
                            image + ((size_t)row * p->width + column) * p->channels + o / outputs * each;
                        for (int32_t c = 0; c < each; c++)
                            acc += (IG_ACC)(pixel[c] - p->x_zero_point) * (tap[c] - z_w);
                    }
                }
                y[((size_t)unit * p->out_width + j) * p->out_channels + o] = (IG_Y)ig_saturate(
                    p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[k], p->requantize.shift[k]), p->low,
                    p->high);
            }
    }
}
