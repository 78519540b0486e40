/* Linear interpolation of channels-last images, two taps along each axis.
 *
 *     y[i,j,c] = (sum_{a,b in 0,1} R[i,a] * C[j,b] * x[rows[i,a], columns[j,b], c] + 2^(shift-1)) >> shift
 *
 * With IG_EVEN_, ties go to codes at an even distance from the zero point. Rows and columns of -1 are outside and
 * become `fill`.
 */
#ifndef IG_RESIZE_BILINEAR_H
#define IG_RESIZE_BILINEAR_H

#include "common/fixedpoint.h"

struct ig_resize_bilinear {
    const int32_t *rows, *row_weights;       /* (H', 2) */
    const int32_t *columns, *column_weights; /* (W', 2) */
    int32_t shift, fill, zero_point;
    int32_t height, width, channels, out_height, out_width;
};

#endif
