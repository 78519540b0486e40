/* Windows that slide over channels-last images; what lies outside the image is left out. */
#ifndef IG_WINDOW_H
#define IG_WINDOW_H

#include "common/fixedpoint.h"

struct ig_window {
    int32_t height, width, channels, out_height, out_width;
    int32_t kernel[2], strides[2], dilations[2], pads[2]; /* (vertical, horizontal); pads at top and left */
};

/* The taps along one axis (0 vertical, 1 horizontal) that see the image from a position of the window: [*begin, *end).
 */
static inline IG_UNUSED void ig_window_taps(const struct ig_window *w, int32_t axis, int32_t position, int32_t *begin,
                                            int32_t *end)
{
    const int32_t size = axis ? w->width : w->height, step = w->dilations[axis];
    const int32_t first = position * w->strides[axis] - w->pads[axis];
    const int32_t behind = size - first; /* from the first tap to the end of the image */
    const int32_t reach = behind > 0 ? (behind + step - 1) / step : 0;
    *begin = first < 0 ? (-first + step - 1) / step : 0;
    *end = reach < w->kernel[axis] ? reach : w->kernel[axis];
}

#endif
