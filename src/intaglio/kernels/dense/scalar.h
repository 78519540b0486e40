/* The specification in C. Units are output channels.
 * Macros: IG_NAME, IG_X, IG_Y, IG_W (types of input, output and weight), IG_ACC (accumulator), IG_SCALE (rounding
 * rule).
 */
#include "dense/dense.h"

static void IG_NAME(const struct ig_dense *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    (void)scratch;
    for (int32_t m = 0; m < p->rows; m++)
        for (int32_t o = begin; o < end; o++) {
            const IG_X *row = x + (size_t)m * p->depth;
            const IG_W *weight = (const IG_W *)p->weight + (size_t)o * p->depth;
            const int32_t z_w = p->weight_zero_point ? p->weight_zero_point[o * p->weight_zero_point_step] : 0;
            const int32_t k = o * p->requantize.step;
            IG_ACC acc = ((const IG_ACC *)p->bias)[o];
            for (int32_t c = 0; c < p->depth; c++)
                acc += (IG_ACC)(row[c] - p->x_zero_point) * (weight[c] - z_w);
            y[(size_t)m * p->out_channels + o] = (IG_Y)ig_saturate(
                p->y_zero_point + IG_SCALE(acc, p->requantize.multiplier[k], p->requantize.shift[k]), p->low, p->high);
        }
}
