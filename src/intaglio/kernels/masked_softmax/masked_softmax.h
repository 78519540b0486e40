/* Softmax along rows over the positions that a mask keeps.
 *
 *     e[i] = exp((x[i] - max x) * s_x) in Q30 where i is kept, else 0;   1 everywhere where a row keeps none
 *     y[i] = clamp(z_y + (e[i] * R + S / 2) / S, low, high)        S = sum e;  divisions round down
 */
#ifndef IG_MASKED_SOFTMAX_H
#define IG_MASKED_SOFTMAX_H

#include "common/divide.h"
#include "common/exponential.h"

struct ig_masked_softmax {
    struct ig_exponential exponential;
    const uint8_t *keep; /* masks * length: 0 or 1; row r has mask r % masks */
    int32_t masks;
    int32_t reciprocal_scale; /* R */
    int32_t y_zero_point, low, high, length;
};

#endif
