#include "app_text.h"

void app_text_clear(struct app_text *text)
{
    text->length = 0;
    text->chars[0] = 0;
}

void app_text_add(struct app_text *text, const char *more)
{
    while (*more && text->length + 1 < sizeof text->chars)
        text->chars[text->length++] = *more++;
    text->chars[text->length] = 0;
}

void app_text_add_number(struct app_text *text, int64_t number) { app_text_add_decimal(text, number, 0, 0); }

void app_text_add_decimal(struct app_text *text, int64_t number, int32_t decimals, size_t width)
{
    char digits[40];
    char *const end = digits + sizeof digits - 1;
    char *at = end;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *at = 0;
    for (int32_t place = 0; rest || place <= decimals; place++) {
        if (place == decimals && decimals)
            *--at = '.';
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    }
    if (number < 0)
        *--at = '-';
    for (size_t used = (size_t)(end - at); used < width; used++)
        app_text_add(text, " ");
    app_text_add(text, at);
}
