/* The window of one output pixel as a dense patch of kh x kw x C bytes, for the kernels of small processors.
 * Macros: IG_PATCH (name), IG_X. Where it lies outside the image the patch holds z_x.
 */
#include "conv2d/conv2d.h"

static IG_UNUSED void IG_PATCH(const struct ig_conv2d *p, const IG_X *x, IG_X *to, int32_t i, int32_t j)
{
    const int32_t top = i * p->strides[0] - p->pads[0], left = j * p->strides[1] - p->pads[1];
    const size_t pixel = (size_t)p->channels * sizeof(IG_X);
    const int whole = p->dilations[1] == 1 && left >= 0 && left + p->kernel[1] <= p->width;
    for (int32_t u = 0; u < p->kernel[0]; u++) {
        const int32_t row = top + u * p->dilations[0];
        if (whole && row >= 0 && row < p->height) {
            memcpy(to, x + ((size_t)row * p->width + left) * p->channels, p->kernel[1] * pixel);
            to += p->kernel[1] * p->channels;
            continue;
        }
        for (int32_t v = 0; v < p->kernel[1]; v++, to += p->channels) {
            const int32_t column = left + v * p->dilations[1];
            if (row >= 0 && row < p->height && column >= 0 && column < p->width)
                memcpy(to, x + ((size_t)row * p->width + column) * p->channels, pixel);
            else
                memset(to, p->x_zero_point, pixel);
        }
    }
}
