/* From a picture file to the codes of the model's input: resize, crop, normalize and quantize, in integers only. */
#ifndef PREPARE_PICTURE_H
#define PREPARE_PICTURE_H

#include "app_settings.h"
#include "app_text.h"

struct picture_settings {
    int32_t channels;                    /* that the model takes: 3 for RGB, 1 for grey */
    int32_t short_side;                  /* resize the short side to this; 0: do not */
    int32_t resize_height, resize_width; /* or resize to this; 0: do not */
    int32_t crop;                        /* whether to crop the centre to height and width */
    int32_t height, width;               /* that the model takes */
    int32_t channels_first; /* the layout: 1 is (channels, height, width), 0 is (height, width, channels) */
    int32_t blue_first;     /* the order of the channels: 1 is blue, green, red, 0 is red, green, blue */
    const app_input *codes; /* code of each of the 256 values of each channel, in the order of the model */
};

/* Returns 0, or -1 with the reason in `error`. */
int prepare_picture(const unsigned char *bytes, size_t size, const struct picture_settings *settings, app_input *input,
                    struct app_text *error);

#endif
