/* Rows of bytes as 16-bit numbers without their zero point, for processors whose products of those are faster.
 * Macros: IG_NAME, IG_X (element type).
 */
#ifndef IG_WIDEN_ROWS_H
#define IG_WIDEN_ROWS_H

#include "vector/rows.h"

struct ig_widen_rows {
    int32_t x_row, y_row, count; /* bytes from row to row; elements */
    int32_t zero_point;
};

#endif

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_widen_rows *p = params;
    const int32_t count = p->count, zero_point = p->zero_point;
    (void)part0, (void)part1, (void)skip;
    for (int32_t row = row0; row < row1; row++) {
        const IG_X *from = (const IG_X *)(x + (ptrdiff_t)row * p->x_row);
        int16_t *to = (int16_t *)(y + (ptrdiff_t)row * p->y_row);
        for (int32_t k = 0; k < count; k++)
            to[k] = (int16_t)(from[k] - zero_point);
    }
}
