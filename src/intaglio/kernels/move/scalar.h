/* Moves elements of one size, whatever they mean. Units are rows of the output.
 * Macros: IG_NAME, IG_X (an unsigned type of the element's size).
 */
#include "move/move.h"

static void IG_NAME(const struct ig_move *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin, int32_t end)
{
    const int32_t columns = p->columns;
    const ptrdiff_t across = p->column_stride, down = p->row_stride;
    (void)scratch;
    while (begin < end) {
        const int32_t first = begin % p->rows, count = ig_minimum(p->rows - first, end - begin);
        const IG_X *from = x + p->offset + ig_offset(p->rank, p->size, p->stride, begin / p->rows) + first * down;
        IG_X *to = y + (size_t)begin * columns;
        begin += count;
        if (columns == 1 && down == 1) {
            memcpy(to, from, (size_t)count * sizeof *to);
        } else if (across == 1 && columns >= 8) {
            for (int32_t r = 0; r < count; r++)
                memcpy(to + (size_t)r * columns, from + r * down, (size_t)columns * sizeof *to);
        } else if (columns == 3) {
            for (int32_t r = 0; r < count; r++) {
                const IG_X a = from[r * down], b = from[r * down + across], c = from[r * down + 2 * across];
                to[3 * (size_t)r] = a, to[3 * (size_t)r + 1] = b, to[3 * (size_t)r + 2] = c;
            }
        } else {
            for (int32_t r = 0; r < count; r += IG_MOVE_TILE)
                for (int32_t c = 0; c < columns; c += IG_MOVE_TILE)
                    for (int32_t i = r; i < ig_minimum(r + IG_MOVE_TILE, count); i++)
                        for (int32_t j = c; j < ig_minimum(c + IG_MOVE_TILE, columns); j++)
                            to[(size_t)i * columns + j] = from[i * down + j * across];
        }
    }
}
