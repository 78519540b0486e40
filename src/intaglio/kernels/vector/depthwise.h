/* Depthwise convolution over rows: four neighbouring columns of four vectors of channels are transposed, so that a lane
 * holds four neighbours of one channel, and each dword of weights is four taps of a row. Neighbouring outputs use the
 * same columns with the taps moved along: (w0, w1, w2, 0) and (0, w0, w1, w2); outputs below each other the same rows.
 *
 * A group is as many channels as four vectors hold, or a half or a quarter of them: then 2 or 4 sets of neighbouring
 * outputs lie side by side in a vector ("spread"), and no lane is idle.
 *
 * 16-bit inputs: a group is one vector of channels, and a lane holds two taps of one, weights int16
 * [pairs of taps][2 vectors][lanes][2].
 */
#ifndef IG_DEPTHWISE_H
#define IG_DEPTHWISE_H

#include "vector/rows.h"

struct ig_depthwise;
struct ig_group;
/* n tiles side by side: each some rows, and positions times spread columns. */
typedef void (*ig_group_tile)(const struct ig_depthwise *p, const struct ig_group *g, const uint8_t *x, uint8_t *y,
                              int32_t n);

struct ig_group {
    const void *weight;     /* int8 [kernel rows][chunks][positions][terms][4 vectors][lanes][4 taps] */
    const int32_t *bias;    /* [4 vectors][lanes] */
    const int32_t *factors; /* [4 vectors][IG_FACTORS][lanes] */
    ig_group_tile tile;     /* one output row */
    ig_group_tile tile2;    /* two output rows, or NULL */
    int32_t input, output;  /* offset of its first channel within a pixel of x, of y */
    int32_t count;          /* channels */
    int32_t width;          /* output columns of one call */
    const int32_t *columns; /* [chunks][4]: offset of each input column; those beyond the window repeat the last */
    int32_t taps;           /* 16-bit inputs: of the window, rounded up to pairs; `columns` has an offset for each */
};

struct ig_depthwise {
    const struct ig_group *groups;
    int32_t row_step;      /* bytes from one row of the window to the next */
    int32_t width;         /* output columns */
    int32_t x_row, x_step; /* bytes from one output row, position, to the next in x */
    int32_t y_row, y_step; /* and in y */
    int32_t low, high;
};

#endif
