/* Normalization of images, 8-bit inputs: a table of 256 results for each channel, made once its statistics are known.
 * Units are runs of whole groups, about IG_CHANNELS channels each. Memory is read row by row. N of a code that no
 * element has is clamped, as its accumulator could exceed 64 bits. Macros: IG_NAME, IG_X, IG_Y (element types), IG_ACC
 * (type of the bias), IG_SCALE (rounding rule).
 */
#include "layer_norm/tables_common.h"

static void IG_NAME(const struct ig_layer_norm *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t width = p->width, run = width < IG_CHANNELS ? IG_CHANNELS / width : 1;
    const int32_t parts = (p->groups + run - 1) / run;
    const size_t step = (size_t)p->groups * width;
    IG_Y *table = scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const int32_t group = unit % parts * run, groups = ig_minimum(run, p->groups - group);
        const int32_t first = group * width, last = first + groups * width;
        const size_t start = unit / parts * p->inner * step;
        int64_t sum[IG_CHANNELS] = {0}, squares[IG_CHANNELS] = {0};
        struct ig_normal normal[IG_CHANNELS];
        for (int32_t channel = first; channel < last; channel += IG_CHANNELS) {
            const int32_t count = ig_minimum(IG_CHANNELS, last - channel);
            for (int32_t k = 0; k < p->inner; k += IG_POSITIONS) {
                const int32_t until = ig_minimum(k + IG_POSITIONS, p->inner);
                int32_t some[IG_CHANNELS] = {0}, some_squares[IG_CHANNELS] = {0};
                for (int32_t at = k; at < until; at++) {
                    const IG_X *from = x + start + at * step + channel;
                    for (int32_t i = 0; i < count; i++) {
                        some[i] += from[i];
                        some_squares[i] += from[i] * from[i];
                    }
                }
                for (int32_t i = 0; i < count; i++) {
                    sum[(channel + i) / width - group] += some[i];
                    squares[(channel + i) / width - group] += some_squares[i];
                }
            }
        }
        for (int32_t g = 0; g < groups; g++)
            normal[g] = ig_normal_of(p, (int64_t)p->inner * width, sum[g], squares[g]);
        for (int32_t channel = first; channel < last; channel += IG_CHANNELS) {
            const int32_t count = ig_minimum(IG_CHANNELS, last - channel);
            for (int32_t i = 0; i < count; i++)
                for (int32_t code = 0; code < 256; code++) {
                    const struct ig_normal *common = &normal[(channel + i) / width - group];
                    const int64_t value = ig_saturate(ig_normal_apply(common, (IG_X)code), -p->largest, p->largest);
                    const int64_t acc = value * p->gain[channel + i] + ((const IG_ACC *)p->bias)[channel + i];
                    table[256 * i + code] = (IG_Y)ig_saturate(
                        p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[0], p->requantize.shift[0]), p->low,
                        p->high);
                }
            for (int32_t at = 0; at < p->inner; at++) {
                const IG_X *from = x + start + at * step + channel;
                IG_Y *to = y + start + at * step + channel;
                for (int32_t i = 0; i < count; i++)
                    to[i] = table[256 * i + (uint8_t)from[i]];
            }
        }
    }
}
