/* WAV files: one channel, 16 bits per sample, PCM. */
#ifndef READ_WAV_H
#define READ_WAV_H

#include "app_text.h"

struct wav {
    size_t samples;
    const unsigned char *data; /* little-endian; part of the bytes read */
};

/* Returns 0, or -1 with the reason in `error`. */
int read_wav(const unsigned char *bytes, size_t size, uint32_t rate, struct wav *sound, struct app_text *error);

int32_t wav_sample(const struct wav *sound, size_t i);

#endif
