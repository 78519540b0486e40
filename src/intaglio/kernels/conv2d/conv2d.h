/* Convolution over channels-last images.
 *
 *     acc[i,j,o] = bias[o] + sum_{u,v,c} (x[i*s+u*d-p, j*s+v*d-p, c] - z_x) * (w[o,u,v,c] - z_w[o])
 *     y[i,j,o]   = clamp(z_y + acc * M[o], low, high)
 */
#ifndef IG_CONV2D_H
#define IG_CONV2D_H

#include "common/requantize.h"

struct ig_conv2d {
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

#endif
