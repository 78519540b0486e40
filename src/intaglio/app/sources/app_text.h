/* A line of text that is put together piece by piece, without the C library's printf and without a heap. */
#ifndef APP_TEXT_H
#define APP_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct app_text {
    char chars[256]; /* ends with 0; what does not fit is left out */
    size_t length;
};

void app_text_clear(struct app_text *text);

void app_text_add(struct app_text *text, const char *more);

void app_text_add_number(struct app_text *text, int64_t number);

/* number / 10^decimals, at least `width` characters with spaces in front. */
void app_text_add_decimal(struct app_text *text, int64_t number, int32_t decimals, size_t width);

#endif
