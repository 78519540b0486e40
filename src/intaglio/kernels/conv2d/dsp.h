/* Convolution with the DSP instructions of Cortex-M4 and M7: the windows of two neighbouring output pixels become two
 * columns in `scratch`, which every pair of output channels then reads. Units are output rows. One group.
 *
 * Weights: see common/dot_dsp.h; each row of the window is filled up to a multiple of four.
 * Macros: IG_NAME, IG_X, IG_Y, IG_COLUMN, IG_EVEN, IG_ODD, IG_FINISH (rounding rule), and names of helpers:
 * IG_WINDOW, IG_CODE.
 */
#include "common/column_dsp.h"
#include "common/dot_dsp.h"
#include "conv2d/conv2d.h"

/* The window of output pixel (i, j) as a column of `step` words a quad; outside the image x - z_x is 0. */
static void IG_WINDOW(const struct ig_conv2d *p, const IG_X *x, ig_word *to, int32_t step, int32_t i, int32_t j)
{
    const uint32_t zero_points = (uint32_t)p->x_zero_point << 16 | ((uint32_t)p->x_zero_point & 0xffff);
    const int32_t taps = p->kernel[1] * p->channels, first = j * p->strides[1] - p->pads[1];
    const int whole = p->dilations[1] == 1 && first >= 0 && first + p->kernel[1] <= p->width;
    for (int32_t u = 0; u < p->kernel[0]; u++) {
        const int32_t row = i * p->strides[0] + u * p->dilations[0] - p->pads[0];
        ig_word *const end = to + (taps + 3) / 4 * step;
        if (row >= 0 && row < p->height) {
            const IG_X *const line = x + (size_t)row * p->width * p->channels;
            if (whole) {
                IG_COLUMN(to, step, line + first * p->channels, taps, zero_points);
                to = end;
            } else if (p->channels % 4 == 0) {
                for (int32_t v = 0; v < p->kernel[1]; v++) {
                    const int32_t column = first + v * p->dilations[1];
                    if (column >= 0 && column < p->width)
                        to = IG_COLUMN(to, step, line + column * p->channels, p->channels, zero_points);
                    else
                        for (int32_t q = 0; q < p->channels; q += 4, to += step)
                            to[0] = to[1] = 0;
                }
            } else {
                IG_X quad[4];
                for (int32_t k = 0, v = 0, c = 0; k < (taps + 3) / 4 * 4; k++) {
                    const int32_t column = first + v * p->dilations[1];
                    const int inside = v < p->kernel[1] && column >= 0 && column < p->width;
                    quad[k & 3] = inside ? line[column * p->channels + c] : (IG_X)p->x_zero_point;
                    if ((k & 3) == 3)
                        to = IG_COLUMN(to, step, quad, 4, zero_points);
                    if (++c == p->channels) {
                        c = 0;
                        v++;
                    }
                }
            }
        }
        for (; to != end; to += step)
            to[0] = to[1] = 0;
    }
}

static inline IG_Y IG_CODE(struct ig_last last, uint32_t acc, int32_t o)
{
    const int32_t k = o * last.step;
    return (IG_Y)IG_FINISH((int32_t)acc, last.multiplier[k], last.shift[k], last.zero_point, last.low, last.high);
}

static void IG_NAME(const struct ig_conv2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin, int32_t end)
{
    const struct ig_last last = IG_LAST(p);
    const int32_t quads = (p->kernel[0] * ((p->kernel[1] * p->channels + 3) / 4) + 1) / 2 * 2;
    const int32_t outputs = p->out_channels;
    const int32_t *const z_w = p->weight_zero_point, *const biases = p->bias;
    ig_word *const columns = scratch;
    for (int32_t i = begin; i < end; i++)
        for (int32_t j = 0; j < p->out_width; j += 2) {
            const int32_t two = j + 1 < p->out_width, step = two ? 4 : 2;
            IG_Y *out = y + ((size_t)i * p->out_width + j) * outputs;
            const ig_word *weight = p->weight;
            uint32_t sum[2] = {0, 0};
            for (int32_t n = 0; n <= two; n++) {
                ig_word *const spare = columns + 2 * n + (quads - 1) * step;
                spare[0] = spare[1] = 0; /* where the number of quads is odd */
                IG_WINDOW(p, x, columns + 2 * n, step, i, j + n);
                if (z_w)
                    sum[n] = (uint32_t)ig_sum_dsp(columns + 2 * n, quads, step);
            }
            for (int32_t o = 0; o < outputs; o += 2, out += 2, weight += 2 * quads) {
                const int32_t second = o + 1 < outputs;
                uint32_t acc[4] = {0, 0, 0, 0};
                if (two)
                    ig_dot_dsp_2(columns, weight, quads, acc);
                else
                    ig_dot_dsp_1(columns, weight, quads, acc);
                if (z_w) {
                    const uint32_t z0 = (uint32_t)z_w[o * p->weight_zero_point_step];
                    const uint32_t z1 = (uint32_t)z_w[(o + second) * p->weight_zero_point_step];
                    acc[0] -= z0 * sum[0];
                    acc[1] -= z1 * sum[0];
                    acc[2] -= z0 * sum[1];
                    acc[3] -= z1 * sum[1];
                }
                out[0] = IG_CODE(last, acc[0] + (uint32_t)biases[o], o);
                if (two)
                    out[outputs] = IG_CODE(last, acc[2] + (uint32_t)biases[o], o);
                if (second) {
                    out[1] = IG_CODE(last, acc[1] + (uint32_t)biases[o + 1], o + 1);
                    if (two)
                        out[outputs + 1] = IG_CODE(last, acc[3] + (uint32_t)biases[o + 1], o + 1);
                }
            }
        }
}
