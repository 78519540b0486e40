/* The specification in C. Units are output rows, of all images. Macros: IG_NAME, IG_X (element type). */
#include "max_pool2d/max_pool2d.h"

static void IG_NAME(const struct ig_max_pool2d *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin, int32_t end)
{
    const struct ig_window *w = &p->window;
    const int32_t channels = w->channels, low = p->low, high = p->high;
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const IG_X *image = x + (size_t)(unit / w->out_height) * w->height * w->width * channels;
        const int32_t i = unit % w->out_height, top = i * w->strides[0] - w->pads[0];
        int32_t first_row, last_row;
        ig_window_taps(w, 0, i, &first_row, &last_row);
        for (int32_t j = 0; j < w->out_width; j++) {
            IG_X *to = y + ((size_t)unit * w->out_width + j) * channels;
            const int32_t left = j * w->strides[1] - w->pads[1];
            int32_t first, last;
            ig_window_taps(w, 1, j, &first, &last);
            for (int32_t u = first_row; u < last_row; u++)
                for (int32_t v = first; v < last; v++) {
                    const IG_X *pixel =
                        image +
                        ((size_t)(top + u * w->dilations[0]) * w->width + (left + v * w->dilations[1])) * channels;
                    if (u == first_row && v == first)
                        memcpy(to, pixel, (size_t)channels * sizeof *to);
                    else
                        for (int32_t c = 0; c < channels; c++)
                            to[c] = pixel[c] > to[c] ? pixel[c] : to[c];
                }
            for (int32_t c = 0; c < channels; c++)
                to[c] = (IG_X)(to[c] < low ? low : to[c] > high ? high : to[c]);
        }
    }
}
