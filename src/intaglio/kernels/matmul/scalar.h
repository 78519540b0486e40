/* The specification in C. Units are rows of the output, of all matrices.
 * Macros: IG_NAME, IG_A, IG_B, IG_Y (element types), IG_ACC (accumulator), IG_SCALE (rounding rule).
 */
#include "matmul/matmul.h"

static void IG_NAME(const struct ig_matmul *p, const IG_A *a, const IG_B *b, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    (void)scratch;
    for (int32_t unit = begin; unit < end; unit++) {
        const int32_t matrix = unit / p->rows;
        const IG_A *row = a + ((size_t)ig_offset(p->rank, p->size, p->a_stride, matrix) * p->rows + unit % p->rows) *
                                  (size_t)p->depth;
        const IG_B *right =
            b + (size_t)ig_offset(p->rank, p->size, p->b_stride, matrix) * p->depth * (size_t)p->columns;
        IG_Y *to = y + (size_t)unit * p->columns;
        for (int32_t start = 0; start < p->columns; start += IG_MATMUL_RUN) {
            const int32_t run = ig_minimum(p->columns - start, IG_MATMUL_RUN);
            IG_ACC acc[IG_MATMUL_RUN] = {0};
            for (int32_t k = 0; k < p->depth; k++) {
                const IG_ACC left = row[k] - p->a_zero_point;
                const IG_B *from = right + (size_t)k * p->columns + start;
                for (int32_t n = 0; n < run; n++)
                    acc[n] += left * (from[n] - p->b_zero_point);
            }
            for (int32_t n = 0; n < run; n++)
                to[start + n] = (IG_Y)ig_saturate(
                    p->y_zero_point + IG_SCALE(acc[n], p->requantize.multiplier[0], p->requantize.shift[0]), p->low,
                    p->high);
        }
    }
}
