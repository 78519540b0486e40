/* A convolution as a matrix product without a matrix of columns: the inputs of one output are a few runs of bytes
 * ("segments", one per row of the window where its columns touch), read where they lie.
 *
 * Codes are unsigned times signed here; signed inputs have their top bit flipped on the way in, and the biases hold the
 * rest:  bias[o] - (z_x + flip) sum_k w[o,k].
 */
#ifndef IG_GEMM_H
#define IG_GEMM_H

#include "vector/rows.h"

struct ig_panel;
struct ig_gemm;
/* n tiles side by side. */
typedef void (*ig_tile)(const struct ig_gemm *p, const struct ig_panel *panel, const uint8_t *x, uint8_t *y, int32_t n);

/* Some neighbouring output channels: as many vectors as the tile function has columns. */
struct ig_panel {
    const void *weight;  /* int8 [segments][depth / 4][channels][4], zeros behind the segment's end; or int16, pairs */
    const int32_t *bias; /* [channels]; NULL where wide */
    const int64_t *wide_bias; /* [channels], or NULL */
    const int32_t *factors;   /* [channels / lanes][IG_FACTORS][lanes]; wide: [2][channels], multipliers and shifts */
    const int32_t *weight_zero_point; /* [channels], or NULL */
    ig_tile tile;
    int32_t rows;          /* neighbouring output positions of one call of it */
    int32_t input;         /* offset of its first input byte within a pixel (groups) */
    int32_t output, count; /* its first output channel, and how many are real */
};

struct ig_gemm {
    const struct ig_panel *panels;
    const uint8_t *ones;          /* [depth]: 1 for every real input of a segment; NULL without weight zero points */
    const int32_t *segments;      /* offset of each from the first */
    int32_t segment_count, depth; /* bytes read of each, a multiple of 4 */
    int32_t width;                /* output positions in a row */
    int32_t flat;                 /* rows follow each other without a gap, in x and in y */
    int32_t x_row, x_step;        /* bytes from one output row, position, to the next in x */
    int32_t y_row, y_step;        /* and in y */
    int32_t low, high;            /* clamp */
    int32_t together;             /* wide: sums over so many segments fit 32 bits */
    int32_t zero_point;           /* wide: of the output; otherwise the factors hold it */
};

#endif
