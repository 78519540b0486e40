/* Softmax along rows over the positions that a computed mask keeps.
 *
 *     e[i] = exp((x[i] - max x) * s_x) in Q30 where i is kept, else 0;   1 everywhere where a row keeps none
 *     y[i] = clamp(z_y + (e[i] * R + S / 2) / S, low, high)        S = sum e;  divisions round down
 */
#ifndef IG_DYNAMIC_MASKED_SOFTMAX_H
#define IG_DYNAMIC_MASKED_SOFTMAX_H

#include "common/divide.h"
#include "common/exponential.h"
#include "common/walk.h"

struct ig_dynamic_masked_softmax {
    struct ig_exponential exponential;
    int32_t reciprocal_scale; /* R */
    int32_t y_zero_point, low, high, length;
    int32_t keep_step; /* from position to position: 1, or 0 where the mask has one number for a row */
    int32_t rank, size[IG_MAX_RANK], keep_stride[IG_MAX_RANK]; /* of the rows */
};

#endif
