/* Max pool over rows; the border holds the lowest code. Macros: IG_NAME, IG_MAX (of bytes), IG_CLAMP (bytes, or of
 * 16-bit numbers), IG_BOUNDS (for that).
 */
#ifndef IG_MAX_POOL_ROWS_H
#define IG_MAX_POOL_ROWS_H

#include "vector/rows.h"

struct ig_max_pool_rows {
    const int32_t *taps; /* offset of every element of the window */
    int32_t tap_count;
    int32_t nbytes, width; /* of a pixel; pixels of a row */
    int32_t x_row, x_step, y_row;
    int32_t low, high;
};

#endif

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_max_pool_rows *p = params;
    const struct ig_bounds bounds = IG_BOUNDS(p->low, p->high);
    (void)skip, (void)part0, (void)part1;
    for (int32_t i = row0; i < row1; i++)
        for (int32_t j = 0; j < p->width; j++)
            for (int32_t c = 0; c < p->nbytes; c += 4 * IG_LANES) {
                const int32_t n = p->nbytes - c < 4 * IG_LANES ? p->nbytes - c : 4 * IG_LANES;
                const uint8_t *from = x + (ptrdiff_t)i * p->x_row + (ptrdiff_t)j * p->x_step + c;
                ig_v best = ig_load_bytes(from + p->taps[0], n);
                for (int32_t k = 1; k < p->tap_count; k++)
                    best = IG_MAX(best, ig_load_bytes(from + p->taps[k], n));
                ig_store_bytes(y + (ptrdiff_t)i * p->y_row + j * p->nbytes + c, IG_CLAMP(best, bounds), n);
            }
}
