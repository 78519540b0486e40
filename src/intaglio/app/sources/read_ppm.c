#include "read_ppm.h"

struct cursor {
    const unsigned char *bytes;
    size_t size, at;
};

static int is_space(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* A decimal number after white space and comments; -1 if there is none, or it is beyond 65535. */
static int32_t next_number(struct cursor *c)
{
    while (c->at < c->size && (is_space(c->bytes[c->at]) || c->bytes[c->at] == '#')) {
        if (c->bytes[c->at] == '#')
            while (c->at < c->size && c->bytes[c->at] != '\n')
                c->at++;
        else
            c->at++;
    }
    int32_t number = 0, digits = 0;
    for (; c->at < c->size && c->bytes[c->at] >= '0' && c->bytes[c->at] <= '9'; c->at++, digits++) {
        number = number * 10 + (c->bytes[c->at] - '0');
        if (number > 65535)
            return -1;
    }
    return digits ? number : -1;
}

int read_ppm(const unsigned char *bytes, size_t size, struct ppm *picture, struct app_text *error)
{
    if (size < 2 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) {
        app_text_add(error, "expected a binary PPM or PGM picture, which begins with P6 or P5; convert the picture");
        return -1;
    }
    struct cursor c = {bytes, size, 2};
    const int32_t width = next_number(&c), height = next_number(&c), largest = next_number(&c);
    if (width < 1 || height < 1 || largest < 1 || c.at >= size || !is_space(bytes[c.at])) {
        app_text_add(error, "expected width, height and largest value, 1 to 65535, at the beginning of the picture");
        return -1;
    }
    if (largest != 255) {
        app_text_add(error, "expected a picture whose largest value is 255, got ");
        app_text_add_number(error, largest);
        return -1;
    }
    const int32_t channels = bytes[1] == '6' ? 3 : 1;
    const uint64_t want = (uint64_t)width * (uint64_t)height * (uint64_t)channels, got = size - c.at - 1;
    if (got < want) {
        app_text_add(error, "expected ");
        app_text_add_number(error, (int64_t)want);
        app_text_add(error, " bytes of pixels, got ");
        app_text_add_number(error, (int64_t)got);
        app_text_add(error, "; the file is truncated");
        return -1;
    }
    *picture = (struct ppm){width, height, channels, bytes + c.at + 1};
    return 0;
}

int32_t ppm_value(const struct ppm *picture, int32_t y, int32_t x, int32_t channel, int32_t channels)
{
    const unsigned char *pixel =
        picture->pixels + ((size_t)y * (size_t)picture->width + (size_t)x) * (size_t)picture->channels;
    if (picture->channels == 1)
        return pixel[0];
    if (channels == 1)
        return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 32768) >> 16;
    return pixel[channel];
}
