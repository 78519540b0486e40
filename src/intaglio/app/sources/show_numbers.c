#include "show_numbers.h"

void show_numbers(const struct number_settings *s, int32_t (*code)(int32_t i), void (*print)(const char *text))
{
    struct app_text text;
    for (int32_t i = 0; i < s->count; i++) {
        const int64_t value = (((int64_t)code(i) - s->zero_point) * s->factor + (1 << 15)) >> 16;
        app_text_clear(&text);
        if (i)
            app_text_add(&text, ",");
        app_text_add_decimal(&text, value, s->decimals, 0);
        print(text.chars);
    }
    print("\n");
}
