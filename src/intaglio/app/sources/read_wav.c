#include "read_wav.h"

#include <string.h>

static uint32_t u16(const unsigned char *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8; }

static uint32_t u32(const unsigned char *at) { return u16(at) | u16(at + 2) << 16; }

/* The chunk of this name: where its content begins, and its bytes; NULL if there is none. */
static const unsigned char *find(const unsigned char *bytes, size_t size, const char *name, size_t *length)
{
    for (size_t at = 12; size - at >= 8;) {
        const size_t declared = u32(bytes + at + 4), rest = size - at - 8;
        if (!memcmp(bytes + at, name, 4)) {
            *length = declared;
            return bytes + at + 8;
        }
        if (declared >= rest)
            return NULL;
        at += 8 + declared + (declared & 1);
        if (at > size)
            return NULL;
    }
    return NULL;
}

static int complain_of_form(const unsigned char *form, uint32_t rate, struct app_text *error)
{
    app_text_add(error, "expected 1 channel with 16 bits per sample (PCM) at ");
    app_text_add_number(error, rate);
    app_text_add(error, " Hz, got ");
    app_text_add_number(error, u16(form + 2));
    app_text_add(error, " with ");
    app_text_add_number(error, u16(form + 14));
    app_text_add(error, " bits at ");
    app_text_add_number(error, u32(form + 4));
    app_text_add(error, u16(form) == 1 ? " Hz; convert the sound" : " Hz, not PCM; convert the sound");
    return -1;
}

int read_wav(const unsigned char *bytes, size_t size, uint32_t rate, struct wav *sound, struct app_text *error)
{
    size_t form_length = 0, length = 0;
    if (size < 12 || memcmp(bytes, "RIFF", 4) || memcmp(bytes + 8, "WAVE", 4)) {
        app_text_add(error, "expected a WAV file, which begins with RIFF and WAVE; convert the sound");
        return -1;
    }
    const unsigned char *form = find(bytes, size, "fmt ", &form_length);
    const unsigned char *data = find(bytes, size, "data", &length);
    if (!form || form_length < 16 || (size_t)(bytes + size - form) < 16 || !data) {
        app_text_add(error, "expected a WAV file with a format and sound, got one without; the file is truncated");
        return -1;
    }
    if (u16(form) != 1 || u16(form + 2) != 1 || u16(form + 14) != 16 || u32(form + 4) != rate)
        return complain_of_form(form, rate, error);
    const size_t got = (size_t)(bytes + size - data);
    if (got < length) {
        app_text_add(error, "expected ");
        app_text_add_number(error, (int64_t)length);
        app_text_add(error, " bytes of sound, got ");
        app_text_add_number(error, (int64_t)got);
        app_text_add(error, "; the file is truncated");
        return -1;
    }
    *sound = (struct wav){length / 2, data};
    return 0;
}

int32_t wav_sample(const struct wav *sound, size_t i)
{
    const int32_t code = (int32_t)u16(sound->data + 2 * i);
    return code < 32768 ? code : code - 65536;
}
