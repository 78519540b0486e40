#include "read_csv.h"

#if APP_PLAIN_INTEGERS
#include "read_number.h"
#else
#include "quantize_real.h"
#include "read_number.h"
#endif

static int is_separator(unsigned char c) { return c == ',' || c == ';' || c == ' ' || (c >= '\t' && c <= '\r'); }

static int complain(struct app_text *error, const char *what, int32_t index, const char *more)
{
    app_text_add(error, "number ");
    app_text_add_number(error, (int64_t)index + 1);
    app_text_add(error, ": expected ");
    app_text_add(error, what);
    app_text_add(error, more);
    return -1;
}

static int store(double value, app_input *input, int32_t index, struct app_text *error)
{
#if APP_PLAIN_INTEGERS
    if (value < APP_MIN || value > APP_MAX || value != (double)(int32_t)value) {
        complain(error, "an integer from ", index, "");
        app_text_add_number(error, APP_MIN);
        app_text_add(error, " to ");
        app_text_add_number(error, APP_MAX);
        return -1;
    }
    input[index] = (app_input)value;
#else
    const float real = (float)value;
    if (real - real != 0) /* infinite */
        return complain(error, "a number below 3.4e38", index, "");
    input[index] = quantize_real(real);
#endif
    return 0;
}

int read_csv(const unsigned char *bytes, size_t size, app_input *input, int32_t count, struct app_text *error)
{
    int32_t found = 0;
    for (size_t at = 0;;) {
        while (at < size && is_separator(bytes[at]))
            at++;
        if (at == size)
            break;
        double value = 0;
        const enum number_status status = read_number(bytes, size, &at, &value);
        if (status == NUMBER_TOO_LONG)
            return complain(error, "at most 19 significant digits", found, "");
        if (status == NUMBER_TOO_LARGE)
            return complain(error, "a number below 3.4e38", found, "");
        if (status == NUMBER_NONE || (at < size && !is_separator(bytes[at])))
            return complain(error, "a decimal number", found, "; separate numbers by commas or white space");
        if (found < count && store(value, input, found, error))
            return -1;
        found += found < INT32_MAX;
    }
    if (found != count) {
        app_text_add(error, "expected ");
        app_text_add_number(error, count);
        app_text_add(error, " numbers, got ");
        app_text_add_number(error, found);
        return -1;
    }
    return 0;
}
