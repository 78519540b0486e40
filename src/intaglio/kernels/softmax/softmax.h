/* Softmax along rows.
 *
 *     e[i] = exp((x[i] - max x) * s_x) in Q30
 *     y[i] = clamp(z_y + (e[i] * R + S / 2) / S, low, high)        S = sum e;  divisions round down
 */
#ifndef IG_SOFTMAX_H
#define IG_SOFTMAX_H

#include "common/divide.h"
#include "common/exponential.h"

struct ig_softmax {
    struct ig_exponential exponential;
    int32_t reciprocal_scale; /* R */
    int32_t y_zero_point, low, high, length;
};

#endif
