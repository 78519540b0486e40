/* Rows of a depthwise convolution by tiles; the last tile of a row overlaps the one before it. */
#include "vector/depthwise.h"

static IG_UNUSED void ig_depthwise_rows(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y,
                                        int32_t row0, int32_t row1, int32_t part0, int32_t part1)
{
    const struct ig_depthwise *p = params;
    (void)skip;
    for (int32_t k = part0; k < part1; k++) {
        const struct ig_group *g = &p->groups[k];
        for (int32_t i = row0; i < row1;) {
            const int32_t rows = g->tile2 && i + 2 <= row1 ? 2 : 1;
            const ig_group_tile tile = rows == 2 ? g->tile2 : g->tile;
            const uint8_t *from = x + (ptrdiff_t)i * p->x_row + g->input;
            uint8_t *to = y + (ptrdiff_t)i * p->y_row + g->output;
            const int32_t n = p->width / g->width;
            tile(p, g, from, to, n);
            if (n * g->width < p->width) {
                const ptrdiff_t at = p->width - g->width;
                tile(p, g, from + at * p->x_step, to + at * p->y_step, 1);
            }
            i += rows;
        }
    }
}
