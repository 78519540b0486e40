/* Bytes to the 16-bit halves of a column, see common/dot_dsp.h.
 * Macros: IG_COLUMN (name), IG_X (element type), IG_EVEN, IG_ODD (bytes of a word, extended as IG_X is).
 */
#include "common/simd32.h"

/* n bytes at x, minus the zero point (given in both halves), to `to`, `step` words apart. Returns where the next quad
 * goes. A last quad that is not full is filled up with zeros.
 */
static inline IG_UNUSED ig_word *IG_COLUMN(ig_word *to, int32_t step, const IG_X *x, int32_t n, uint32_t zero_points)
{
    const int32_t whole = n;
    for (; n >= 4; n -= 4, x += 4, to += step) {
        const uint32_t word = ig_load_word(x);
        to[0] = ig_subtract_16(IG_EVEN(word), zero_points);
        to[1] = ig_subtract_16(IG_ODD(word), zero_points);
    }
    if (n > 0) {
        uint32_t word = zero_points & 255;
        word |= word << 8;
        word |= word << 16;
        if (whole >= 4) { /* the last four bytes, of which the first are behind us */
            word = ig_load_word(x + n - 4) >> (32 - 8 * n) | word << 8 * n;
        } else {
            for (int32_t k = n - 1; k >= 0; k--)
                word = word << 8 | (uint8_t)x[k];
        }
        to[0] = ig_subtract_16(IG_EVEN(word), zero_points);
        to[1] = ig_subtract_16(IG_ODD(word), zero_points);
        to += step;
    }
    return to;
}
