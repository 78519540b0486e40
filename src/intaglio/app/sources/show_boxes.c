#include "show_boxes.h"

enum { LIMIT = (1 << 21) - 1 }; /* of coordinates: areas times 2^16 stay below 2^63 */

/* Corners in units of 2^-(fraction + 1), so that a centre and half a width are whole. */
struct box {
    int32_t x1, y1, x2, y2, class_, code;
};

static int16_t best_class[APP_BOXES]; /* -1: below the least score, or shown or dropped already */
static int32_t best_code[APP_BOXES];
static struct box kept[APP_MOST_BOXES];

static void find_classes(const struct box_settings *s, int32_t (*score_code)(int32_t))
{
    for (int32_t i = 0; i < APP_BOXES; i++) {
        best_class[i] = -1;
        for (int32_t k = 0; k < s->classes; k++) {
            const int32_t code = score_code(s->score_start + i * s->score_step + k * s->class_step);
            if (k != s->background && code >= s->least_code && (best_class[i] < 0 || code > best_code[i])) {
                best_class[i] = (int16_t)k;
                best_code[i] = code;
            }
        }
    }
}

/* The next box in order of scores, of equal ones the first; -1 if there is none. */
static int32_t next_box(void)
{
    int32_t best = -1;
    for (int32_t i = 0; i < APP_BOXES; i++)
        if (best_class[i] >= 0 && (best < 0 || best_code[i] > best_code[best]))
            best = i;
    return best;
}

static int32_t limited(int64_t value) { return (int32_t)(value < -LIMIT ? -LIMIT : value > LIMIT ? LIMIT : value); }

static int64_t part(const struct box_settings *s, int32_t (*box_code)(int32_t), int32_t box, int32_t j)
{
    const int32_t code = box_code(box * s->box_step + j * s->part_step);
    return (((int64_t)code - s->zero_point) * s->factor + (1 << 15)) >> 16;
}

/* Size of the anchor times the growth of a code. */
static int64_t grown(const struct box_settings *s, int32_t (*box_code)(int32_t), int32_t box, int32_t j, int32_t size)
{
    const int32_t code = box_code(box * s->box_step + j * s->part_step) - s->smallest_box_code;
    return ((int64_t)size * s->growth[code] + (1 << 15)) >> 16;
}

static struct box decode(const struct box_settings *s, int32_t (*box_code)(int32_t), int32_t i)
{
    const int32_t x = s->y_first, y = 1 - x; /* places of x and y; widths and heights stand 2 behind */
    struct box box = {0, 0, 0, 0, best_class[i], best_code[i]};
    int64_t a = part(s, box_code, i, x), b = part(s, box_code, i, y), width, height;
    if (s->form == BOX_CORNERS) {
        box.x1 = limited(2 * a);
        box.y1 = limited(2 * b);
        box.x2 = limited(2 * part(s, box_code, i, x + 2));
        box.y2 = limited(2 * part(s, box_code, i, y + 2));
        return box;
    }
    if (s->form == BOX_CENTER) {
        width = part(s, box_code, i, x + 2);
        height = part(s, box_code, i, y + 2);
    } else {
        const int32_t *const anchor = s->anchors + 4 * i;
        a = anchor[0] + ((a * anchor[2] + (1 << 15)) >> 16);
        b = anchor[1] + ((b * anchor[3] + (1 << 15)) >> 16);
        width = grown(s, box_code, i, x + 2, anchor[2]);
        height = grown(s, box_code, i, y + 2, anchor[3]);
    }
    box.x1 = limited(2 * a - width);
    box.y1 = limited(2 * b - height);
    box.x2 = limited(2 * a + width);
    box.y2 = limited(2 * b + height);
    return box;
}

static int64_t area(int64_t x1, int64_t y1, int64_t x2, int64_t y2)
{
    return x2 > x1 && y2 > y1 ? (x2 - x1) * (y2 - y1) : 0;
}

static int overlaps(const struct box_settings *s, const struct box *a, const struct box *b)
{
    const int64_t both = area(a->x1 > b->x1 ? a->x1 : b->x1, a->y1 > b->y1 ? a->y1 : b->y1,
                              a->x2 < b->x2 ? a->x2 : b->x2, a->y2 < b->y2 ? a->y2 : b->y2);
    const int64_t either = area(a->x1, a->y1, a->x2, a->y2) + area(b->x1, b->y1, b->x2, b->y2) - both;
    return a->class_ == b->class_ && both * 65536 > either * s->overlap;
}

static void add_coordinate(struct app_text *text, const struct box_settings *s, int64_t value)
{
    const int32_t shift = s->fraction + 1;
    for (int32_t i = 0; i < s->decimals; i++)
        value *= 10;
    app_text_add_decimal(text, (value + ((int64_t)1 << (shift - 1))) >> shift, s->decimals, 9);
}

static void print_box(const struct box_settings *s, const struct box *box, void (*print)(const char *text))
{
    struct app_text text;
    app_text_clear(&text);
    app_text_add_decimal(&text, s->permille[box->code - s->smallest_score_code], 1, 7);
    app_text_add(&text, " %");
    add_coordinate(&text, s, box->x1);
    add_coordinate(&text, s, box->y1);
    add_coordinate(&text, s, box->x2);
    add_coordinate(&text, s, box->y2);
    app_text_add(&text, "  ");
    if (s->names) {
        app_text_add(&text, s->names[box->class_]);
    } else {
        app_text_add(&text, "class ");
        app_text_add_number(&text, box->class_);
    }
    app_text_add(&text, "\n");
    print(text.chars);
}

void show_boxes(const struct box_settings *s, int32_t (*box_code)(int32_t at), int32_t (*score_code)(int32_t at),
                void (*print)(const char *text))
{
    int32_t count = 0;
    find_classes(s, score_code);
    for (int32_t i; count < APP_MOST_BOXES && (i = next_box()) >= 0; best_class[i] = -1) {
        const struct box box = decode(s, box_code, i);
        int dropped = 0;
        for (int32_t k = 0; k < count && !dropped; k++)
            dropped = overlaps(s, &box, &kept[k]);
        if (dropped)
            continue;
        kept[count++] = box;
        print_box(s, &box, print);
    }
    if (!count)
        print("  nothing found\n");
}
