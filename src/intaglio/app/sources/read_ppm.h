/* Binary PPM (P6, RGB) and PGM (P5, grey) pictures with 255 as the largest value. */
#ifndef READ_PPM_H
#define READ_PPM_H

#include "app_text.h"

struct ppm {
    int32_t width, height, channels; /* 3 for RGB, 1 for grey */
    const unsigned char *pixels;     /* row by row, the channels of a pixel side by side; part of the bytes read */
};

/* Returns 0, or -1 with the reason in `error`. */
int read_ppm(const unsigned char *bytes, size_t size, struct ppm *picture, struct app_text *error);

/* One channel of a pixel of the picture as a picture of `channels` channels: grey is the same in every channel, and RGB
 * becomes grey as (19595 R + 38470 G + 7471 B + 32768) / 65536 (ITU-R 601-2). */
int32_t ppm_value(const struct ppm *picture, int32_t y, int32_t x, int32_t channel, int32_t channels);

#endif
