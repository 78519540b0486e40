/* Max pool over channels-last images.   y[i,j,c] = clamp(max_{u,v} x[i*s+u*d-p, j*s+v*d-p, c], low, high)
 *
 * Padding never wins: every window sees at least one element of the image.
 */
#ifndef IG_MAX_POOL2D_H
#define IG_MAX_POOL2D_H

#include "common/window.h"

struct ig_max_pool2d {
    struct ig_window window;
    int32_t low, high;
};

#endif
