/* A function of one byte by a table of 256 bytes in registers, row by row. Macros: IG_NAME. */
#ifndef IG_LUT_ROWS_H
#define IG_LUT_ROWS_H

#include "vector/rows.h"

struct ig_lut_rows {
    const uint8_t *table; /* by the bits of the code, signed or not */
    int32_t x_row, y_row, nbytes;
};

#endif

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    const struct ig_lut_rows *p = params;
    const struct ig_table table = ig_table(p->table);
    (void)skip, (void)part0, (void)part1;
    for (int32_t i = row0; i < row1; i++) {
        const uint8_t *from = x + (ptrdiff_t)i * p->x_row;
        uint8_t *to = y + (ptrdiff_t)i * p->y_row;
        for (int32_t k = 0; k < p->nbytes; k += 4 * IG_LANES) {
            const int32_t n = p->nbytes - k < 4 * IG_LANES ? p->nbytes - k : 4 * IG_LANES;
            ig_store_bytes(to + k, ig_look_up(&table, ig_load_bytes(from + k, n)), n);
        }
    }
}
