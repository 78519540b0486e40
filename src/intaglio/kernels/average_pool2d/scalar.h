/* The specification in C. Units are output rows, of all images.
 * Macros: IG_NAME, IG_X, IG_Y (element types), IG_ACC (accumulator), IG_SCALE (rounding rule).
 */
#include "average_pool2d/average_pool2d.h"

static void IG_NAME(const struct ig_average_pool2d *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const struct ig_window *w = &p->window;
    const int32_t channels = w->channels;
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const IG_X *image = x + (size_t)(unit / w->out_height) * w->height * w->width * channels;
        const int32_t i = unit % w->out_height, top = i * w->strides[0] - w->pads[0];
        int32_t first_row, last_row;
        ig_window_taps(w, 0, i, &first_row, &last_row);
        for (int32_t j = 0; j < w->out_width; j++) {
            IG_Y *to = y + ((size_t)unit * w->out_width + j) * channels;
            const int32_t position = i * w->out_width + j, left = j * w->strides[1] - w->pads[1];
            int32_t first, last;
            ig_window_taps(w, 1, j, &first, &last);
            for (int32_t start = 0; start < channels; start += IG_AVERAGE_POOL2D_RUN) {
                const int32_t run = channels - start < IG_AVERAGE_POOL2D_RUN ? channels - start : IG_AVERAGE_POOL2D_RUN;
                IG_ACC acc[IG_AVERAGE_POOL2D_RUN] = {0};
                for (int32_t u = first_row; u < last_row; u++)
                    for (int32_t v = first; v < last; v++) {
                        const IG_X *pixel =
                            image +
                            ((size_t)(top + u * w->dilations[0]) * w->width + (left + v * w->dilations[1])) * channels +
                            start;
                        for (int32_t c = 0; c < run; c++)
                            acc[c] += pixel[c] - p->x_zero_point;
                    }
                for (int32_t c = 0; c < run; c++) {
                    int64_t value;
                    if (p->counts) {
                        const int32_t count = p->counts[position * p->counts_step];
                        const int64_t total = (int64_t)acc[c] + (int64_t)count * p->x_zero_point;
                        /* |total| + count / 2 < 2^32: 32 bits are enough to divide */
                        const uint32_t magnitude = (uint32_t)(total < 0 ? -total : total);
                        const int64_t quotient = (magnitude + (uint32_t)count / 2) / (uint32_t)count;
                        value = total < 0 ? -quotient : quotient;
                    } else {
                        const int32_t k = position * p->requantize.step;
                        value = p->y_zero_point + IG_SCALE(acc[c], p->requantize.multiplier[k], p->requantize.shift[k]);
                    }
                    to[start + c] = (IG_Y)ig_saturate(value, p->low, p->high);
                }
            }
        }
    }
}
