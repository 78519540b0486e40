/* Dense layer for processors without any help (Cortex-M0). Units are fours of output channels.
 * Weights: see common/dot_plain.h; weight_zero_point is of those unsigned weights, and - z_x sum(w - z_w) is in the
 * bias. Macros: IG_NAME, IG_X, IG_Y, IG_OFFSET (128 where x is signed, else 0), IG_FINISH (rounding rule), IG_CODE
 * (name of a helper).
 */
#include "common/dot_plain.h"
#include "dense/dense.h"

static IG_APART IG_Y IG_CODE(const struct ig_dense *p, uint32_t acc, uint32_t sum, int32_t o)
{
    const int32_t k = o * p->requantize.step;
    const uint32_t z = (uint32_t)p->weight_zero_point[o * p->weight_zero_point_step];
    acc += (uint32_t)((const int32_t *)p->bias)[o] - z * sum;
    return (IG_Y)IG_FINISH((int32_t)acc, p->requantize.multiplier[k], p->requantize.shift[k], p->y_zero_point, p->low,
                           p->high);
}

static void IG_NAME(const struct ig_dense *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    for (int32_t m = 0; m < p->rows; m++) {
        const uint8_t *from = (const uint8_t *)x + (size_t)m * p->depth;
        IG_Y *const out = y + (size_t)m * p->out_channels;
        uint32_t sum;
        if (IG_OFFSET) {
            memcpy(scratch, from, (size_t)p->depth);
            from = scratch;
            sum = ig_flip_and_sum_plain(scratch, p->depth, IG_OFFSET);
        } else {
            sum = ig_sum_plain(from, p->depth);
        }
        for (int32_t o = 4 * begin; o < 4 * end; o += 4) {
            uint32_t acc[4];
            ig_dot_plain_4(from, (const uint8_t *)p->weight + (size_t)o * p->depth, p->depth, acc);
            for (int32_t c = 0; c < 4 && o + c < p->out_channels; c++)
                out[o + c] = IG_CODE(p, acc[c], sum, o + c);
        }
    }
}
