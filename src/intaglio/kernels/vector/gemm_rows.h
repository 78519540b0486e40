/* Rows of a convolution by tiles: panels of weights outside, so that one stays in the cache, positions inside.
 * A row that is no multiple of the tile ends with a tile that overlaps the one before: the same integers twice.
 */
#include "vector/gemm.h"

static IG_UNUSED void ig_gemm_rows(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0,
                                   int32_t row1, int32_t part0, int32_t part1)
{
    const struct ig_gemm *p = params;
    (void)skip;
    const int32_t width = p->flat ? (row1 - row0) * p->width : p->width, height = p->flat ? 1 : row1 - row0;
    for (int32_t k = part0; k < part1; k++) {
        const struct ig_panel *panel = &p->panels[k];
        for (int32_t i = 0; i < height; i++) {
            const uint8_t *from = x + (ptrdiff_t)(row0 + i) * p->x_row + panel->input;
            uint8_t *to = y + (ptrdiff_t)(row0 + i) * p->y_row + panel->output;
            const int32_t n = width / panel->rows;
            panel->tile(p, panel, from, to, n);
            if (n * panel->rows < width) {
                const ptrdiff_t at = width - panel->rows;
                panel->tile(p, panel, from + at * p->x_step, to + at * p->y_step, 1);
            }
        }
    }
}
