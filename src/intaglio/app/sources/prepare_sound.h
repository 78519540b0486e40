/* From a sound to the codes of the model's input: mel-frequency cepstral coefficients. Floating-point numbers of 32
 * bits, in software on processors without a floating-point unit; the model uses integers only. */
#ifndef PREPARE_SOUND_H
#define PREPARE_SOUND_H

#include "app_settings.h"

/* Weights of a mel band: `count` of them in `mel_weights`, from `start` on, for the frequencies from `first` on. */
struct mel_band {
    int32_t first, count, start;
};

struct sound_settings {
    uint32_t rate;   /* samples per second */
    int32_t samples; /* of a sound: longer ones are cut, zeros are appended to shorter ones */
    int32_t frames, window, stride, bands, coefficients;
    int32_t magnitude; /* 1: the square root of the power spectrum */
    float floor;
    const float *hann, *cosines, *sines;
    const struct mel_band *mel;
    const float *mel_weights;
    const float *dct; /* coefficients x bands; without coefficients there is no DCT */
};

/* Returns 0, or -1 with the reason in `error`. */
int prepare_sound(const unsigned char *bytes, size_t size, const struct sound_settings *settings, app_input *input,
                  struct app_text *error);

#endif
