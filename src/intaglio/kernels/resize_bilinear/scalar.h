/* The specification in C. Units are output rows, of all images.
 * Macros: IG_NAME, IG_X (element type), IG_ACC (accumulator), IG_EVEN_ (1: ties to even).
 */
#include "resize_bilinear/resize_bilinear.h"

static void IG_NAME(const struct ig_resize_bilinear *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const int32_t channels = p->channels;
    const size_t pitch = (size_t)p->width * channels;
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const IG_X *image = x + (size_t)(unit / p->out_height) * p->height * pitch;
        const int32_t *row = p->rows + 2 * (unit % p->out_height), *down = p->row_weights + 2 * (unit % p->out_height);
        for (int32_t j = 0; j < p->out_width; j++) {
            IG_X *to = y + ((size_t)unit * p->out_width + j) * channels;
            const int32_t *column = p->columns + 2 * j, *across = p->column_weights + 2 * j;
            if (row[0] < 0 || column[0] < 0) {
                for (int32_t c = 0; c < channels; c++)
                    to[c] = (IG_X)p->fill;
                continue;
            }
            const IG_X *a = image + row[0] * pitch + (size_t)column[0] * channels;
            const IG_X *b = image + row[0] * pitch + (size_t)column[1] * channels;
            const IG_X *e = image + row[1] * pitch + (size_t)column[0] * channels;
            const IG_X *f = image + row[1] * pitch + (size_t)column[1] * channels;
            for (int32_t c = 0; c < channels; c++) {
                const IG_ACC upper = (IG_ACC)a[c] * across[0] + (IG_ACC)b[c] * across[1];
                const IG_ACC lower = (IG_ACC)e[c] * across[0] + (IG_ACC)f[c] * across[1];
                const IG_ACC acc = upper * down[0] + lower * down[1];
#if IG_EVEN_
                const int64_t centred = acc - (int64_t)p->zero_point * ((int64_t)1 << p->shift);
                to[c] = (IG_X)(ig_rounding_shift_right_even(centred, p->shift) + p->zero_point);
#else
                to[c] = (IG_X)((acc + ((IG_ACC)1 << (p->shift - 1))) >> p->shift);
#endif
            }
        }
    }
}
