/* Transposed convolution over channels-last images: every output gathers the taps that reach it.
 *
 *     acc[i,j,o] = bias[o] + sum (x[a,b,c] - z_x) * (w[o,u,v,c] - z_w[o])   over a*s + u*d - top = i, b*s + v*d - left
 * = j y[i,j,o]   = clamp(z_y + acc * M[o], low, high)
 */
#ifndef IG_CONV_TRANSPOSE2D_H
#define IG_CONV_TRANSPOSE2D_H

#include "common/requantize.h"

struct ig_conv_transpose2d {
    const void *weight;               /* int8 or int16, (O, kh, kw, I / groups) */
    const int32_t *weight_zero_point; /* (1) or (O); NULL: all are zero */
    const void *bias;                 /* int32 (int64 where the accumulator is wide), (O) */
    struct ig_requantize requantize;
    int32_t weight_zero_point_step;
    int32_t x_zero_point, y_zero_point, low, high;
    int32_t height, width, channels; /* of x */
    int32_t out_height, out_width, out_channels;
    int32_t kernel[2], strides[2], dilations[2], pads[2]; /* (vertical, horizontal); pads at top and left */
    int32_t groups;
};

/* The input place whose tap `tap` lands on `position` along one axis, or -1. */
static inline IG_UNUSED int32_t ig_conv_transpose2d_source(const struct ig_conv_transpose2d *p, int32_t axis,
                                                           int32_t position, int32_t tap)
{
    const int32_t at = position + p->pads[axis] - tap * p->dilations[axis], size = axis ? p->width : p->height;
    return at >= 0 && at % p->strides[axis] == 0 && at / p->strides[axis] < size ? at / p->strides[axis] : -1;
}

#endif
