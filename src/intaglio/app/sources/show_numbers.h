/* The real values of an output, as a line of numbers. */
#ifndef SHOW_NUMBERS_H
#define SHOW_NUMBERS_H

#include "app_text.h"

struct number_settings {
    int32_t count;
    int64_t factor; /* a value is (code - zero_point) * factor / 2^16, with this many decimals */
    int32_t zero_point, decimals;
};

void show_numbers(const struct number_settings *settings, int32_t (*code)(int32_t i), void (*print)(const char *text));

#endif
