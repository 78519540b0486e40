/* Bounds per channel over rows of bytes. Macros: IG_NAME, IG_MAX, IG_MIN (of bytes). */
#ifndef IG_CLAMP_CHANNELS_ROWS_H
#define IG_CLAMP_CHANNELS_ROWS_H

#include "vector/rows.h"

struct ig_clamp_channels_rows {
    const uint8_t *lower, *upper; /* of the channels, again and again: [period] */
    int32_t period, nbytes;       /* of a row; a whole number of pixels is a period */
    int32_t x_row, y_row;
};

#endif

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_clamp_channels_rows *p = params;
    (void)skip, (void)part0, (void)part1;
    for (int32_t i = row0; i < row1; i++) {
        const uint8_t *from = x + (ptrdiff_t)i * p->x_row;
        uint8_t *to = y + (ptrdiff_t)i * p->y_row;
        for (int32_t start = 0; start < p->nbytes; start += p->period) {
            const int32_t piece = p->nbytes - start < p->period ? p->nbytes - start : p->period;
            for (int32_t k = 0; k < piece; k += 4 * IG_LANES) {
                const int32_t n = piece - k < 4 * IG_LANES ? piece - k : 4 * IG_LANES;
                const ig_v v = IG_MAX(ig_load_bytes(from + start + k, n), ig_load_bytes(p->lower + k, n));
                ig_store_bytes(to + start + k, IG_MIN(v, ig_load_bytes(p->upper + k, n)), n);
            }
        }
    }
}
