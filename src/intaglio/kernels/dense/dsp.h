/* Dense layer with the DSP instructions of Cortex-M4 and M7. Units are pairs of output channels.
 * Weights: see common/dot_dsp.h. The row of inputs is widened once, in `scratch`.
 * Macros: IG_NAME, IG_X, IG_Y, IG_COLUMN, IG_EVEN, IG_ODD, IG_FINISH (rounding rule), IG_CODE (name of a helper).
 */
#include "common/column_dsp.h"
#include "common/dot_dsp.h"
#include "dense/dense.h"

static inline IG_Y IG_CODE(struct ig_last last, uint32_t acc, int32_t o)
{
    const int32_t k = o * last.step;
    return (IG_Y)IG_FINISH((int32_t)acc, last.multiplier[k], last.shift[k], last.zero_point, last.low, last.high);
}

static void IG_NAME(const struct ig_dense *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const struct ig_last last = IG_LAST(p);
    const uint32_t zero_points = (uint32_t)p->x_zero_point << 16 | ((uint32_t)p->x_zero_point & 0xffff);
    const int32_t quads = (p->depth + 7) / 8 * 2;
    const int32_t *const z_w = p->weight_zero_point, *const biases = p->bias;
    for (int32_t m = 0; m < p->rows; m++) {
        IG_Y *const out = y + (size_t)m * p->out_channels;
        ((ig_word *)scratch)[2 * quads - 2] = ((ig_word *)scratch)[2 * quads - 1] = 0; /* where quads are filled up */
        IG_COLUMN(scratch, 2, x + (size_t)m * p->depth, p->depth, zero_points);
        const uint32_t sum = z_w ? (uint32_t)ig_sum_dsp(scratch, quads, 2) : 0;
        for (int32_t o = 2 * begin; o < 2 * end; o += 2) {
            const int32_t second = o + 1 < p->out_channels;
            uint32_t acc[2];
            ig_dot_dsp_1(scratch, (const ig_word *)p->weight + (size_t)o * quads, quads, acc);
            if (z_w) {
                acc[0] -= (uint32_t)z_w[o * p->weight_zero_point_step] * sum;
                acc[1] -= (uint32_t)z_w[(o + second) * p->weight_zero_point_step] * sum;
            }
            out[o] = IG_CODE(last, acc[0] + (uint32_t)biases[o], o);
            if (second)
                out[o + 1] = IG_CODE(last, acc[1] + (uint32_t)biases[o + 1], (o + 1));
        }
    }
}
