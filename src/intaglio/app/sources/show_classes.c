#include "show_classes.h"

enum { FRACTION = 30 };

/* exp(-steps * SCALE), rounded to nearest. */
static uint32_t exponential(const struct class_settings *s, int32_t steps)
{
    const uint64_t product = (uint64_t)s->coarse[steps >> 8] * (uint64_t)s->fine[steps & 255];
    return (uint32_t)((product + ((uint64_t)1 << (FRACTION - 1))) >> FRACTION);
}

/* Whether class a is shown before class b. */
static int precedes(int32_t a, int32_t code_a, int32_t b, int32_t code_b)
{
    return code_a > code_b || (code_a == code_b && a < b);
}

/* The class that follows `last` in order; -1 stands for the place before the first. */
static int32_t following(const struct class_settings *s, int32_t (*code)(int32_t), int32_t last)
{
    int32_t best = -1, best_code = 0;
    const int32_t last_code = last < 0 ? 0 : code(last);
    for (int32_t i = 0; i < s->classes; i++) {
        const int32_t c = code(i);
        if ((last < 0 || precedes(last, last_code, i, c)) && (best < 0 || precedes(i, c, best, best_code))) {
            best = i;
            best_code = c;
        }
    }
    return best;
}

static void add_name(struct app_text *text, const struct class_settings *s, int32_t i)
{
    if (s->names) {
        app_text_add(text, s->names[i]);
    } else {
        app_text_add(text, "class ");
        app_text_add_number(text, i);
    }
}

static int64_t scaled(const struct class_settings *s, int32_t code)
{
    return (((int64_t)code - s->zero_point) * s->factor + (1 << 15)) >> 16;
}

void show_classes(const struct class_settings *s, int32_t (*code)(int32_t i), void (*print)(const char *text))
{
    struct app_text text;
    int32_t best = following(s, code, -1);
    const int32_t largest = code(best);
    uint64_t sum = 0;
    for (int32_t i = 0; s->fine && i < s->classes; i++)
        sum += exponential(s, largest - code(i));
    for (int32_t shown = 0; shown < s->top; shown++) {
        app_text_clear(&text);
        if (s->fine) {
            const uint64_t part = exponential(s, largest - code(best));
            app_text_add_decimal(&text, (int64_t)((part * 2000 + sum) / (2 * sum)), 1, 7);
            app_text_add(&text, " %  ");
        } else {
            app_text_add_decimal(&text, scaled(s, code(best)), s->decimals, 9);
            app_text_add(&text, "  ");
        }
        add_name(&text, s, best);
        app_text_add(&text, "\n");
        print(text.chars);
        best = following(s, code, best);
    }
}
