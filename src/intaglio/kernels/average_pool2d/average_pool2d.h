/* Average pool over channels-last images.
 *
 *     acc[i,j,c] = sum_{u,v} (x[i*s+u*d-p, j*s+v*d-p, c] - z_x)        padding adds nothing
 *     y = clamp(z_y + acc * M[i,j], low, high)
 *
 * or, dividing by `counts`, with total = acc + count[i,j] * z_x and ties away from zero:
 *
 *     y = clamp(total / count[i,j], low, high)
 */
#ifndef IG_AVERAGE_POOL2D_H
#define IG_AVERAGE_POOL2D_H

#include "common/requantize.h"
#include "common/window.h"

struct ig_average_pool2d {
    struct ig_window window;
    struct ig_requantize requantize; /* M: one, or one per position */
    const int32_t *counts;           /* one, or one per position; NULL: multiply by M */
    int32_t counts_step;
    int32_t x_zero_point, y_zero_point, low, high;
};

enum { IG_AVERAGE_POOL2D_RUN = 64 }; /* channels that are summed together */

#endif
