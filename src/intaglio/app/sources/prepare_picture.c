/* Resizing is Pillow's bilinear filter with antialiasing, pixel for pixel: each output is the mean of its neighbours,
 * weighted by a triangle as wide as the picture shrinks; along rows and then along columns (Pillow 13: the other way
 * round if the height shrinks by more than twice as many pixels as the width), with weights of 22 fraction bits, each
 * pass rounded to a whole number (Pillow, src/libImaging/Resample.c).
 *
 * With I the size before and O the size after, output x takes input i with weight
 *     n(i) = max(0, 2 max(I, O) - |(2i + 1) O - (2x + 1) I|), divided by the sum of all n,
 * which are integers, so that no floating-point number is needed.
 */
#include "prepare_picture.h"

#include "read_ppm.h"

#if APP_RESIZE
enum {
    LONGEST = APP_LONGEST_SIDE,
    SIDE = APP_PICTURE_HEIGHT > APP_PICTURE_WIDTH ? APP_PICTURE_HEIGHT : APP_PICTURE_WIDTH,
    FRACTION = 22
};

/* The inputs and weights of each output along one axis; there are at most 2 max(I, O) / O + 1 for each. */
struct axis {
    int32_t first[SIDE];     /* the first input of an output */
    int32_t start[SIDE + 1]; /* where its weights begin */
    int32_t weights[2 * LONGEST + 4 * SIDE];
};

static void make_axis(struct axis *axis, int64_t before, int64_t after, int32_t offset, int32_t outputs)
{
    const int64_t reach = 2 * (before > after ? before : after);
    int32_t used = 0;
    for (int32_t k = 0; k < outputs; k++) {
        const int64_t centre = (2 * ((int64_t)offset + k) + 1) * before;
        int64_t sum = 0;
        int32_t count = 0;
        axis->start[k] = used;
        for (int64_t i = (centre - reach) / (2 * after) - 1; (2 * i + 1) * after - centre < reach; i++) {
            const int64_t distance = (2 * i + 1) * after - centre;
            const int64_t weight = reach - (distance < 0 ? -distance : distance);
            if (i < 0 || weight <= 0)
                continue;
            if (i >= before)
                break;
            if (!count)
                axis->first[k] = (int32_t)i;
            axis->weights[used + count++] = (int32_t)weight;
            sum += weight;
        }
        for (int32_t i = 0; i < count; i++) {
            int32_t *const weight = &axis->weights[used + i];
            *weight = (int32_t)((((int64_t)*weight << (FRACTION + 1)) + sum) / (2 * sum));
        }
        used += count;
    }
    axis->start[outputs] = used;
}

static int32_t to_byte(int32_t acc)
{
    acc >>= FRACTION;
    return acc > 255 ? 255 : acc;
}
#endif

/* Store the value of channel c of the picture. */
static void store(const struct picture_settings *s, app_input *input, int32_t y, int32_t x, int32_t c, int32_t value)
{
    if (s->blue_first)
        c = s->channels - 1 - c;
    const int32_t at = s->channels_first ? (c * s->height + y) * s->width + x : (y * s->width + x) * s->channels + c;
    input[at] = s->codes[c * 256 + value];
}

static void copy(const struct ppm *picture, const struct picture_settings *s, int32_t top, int32_t left,
                 app_input *input)
{
    for (int32_t y = 0; y < s->height; y++)
        for (int32_t x = 0; x < s->width; x++)
            for (int32_t c = 0; c < s->channels; c++)
                store(s, input, y, x, c, ppm_value(picture, top + y, left + x, c, s->channels));
}

#if APP_RESIZE
static struct axis rows, columns;
static int32_t sums[APP_PICTURE_WIDTH * 3];

/* One row of the result: neighbours along rows first. */
static void resize_along_rows(const struct ppm *picture, const struct picture_settings *s, int32_t y)
{
    for (int32_t i = 0; i < s->width * s->channels; i++)
        sums[i] = 1 << (FRACTION - 1);
    for (int32_t r = 0; r < rows.start[y + 1] - rows.start[y]; r++) {
        const int32_t of_row = rows.weights[rows.start[y] + r];
        for (int32_t x = 0; x < s->width; x++)
            for (int32_t c = 0; c < s->channels; c++) {
                int32_t acc = 1 << (FRACTION - 1);
                for (int32_t k = columns.start[x]; k < columns.start[x + 1]; k++)
                    acc += columns.weights[k] * ppm_value(picture, rows.first[y] + r,
                                                          columns.first[x] + k - columns.start[x], c, s->channels);
                sums[x * s->channels + c] += of_row * to_byte(acc);
            }
    }
}

#if APP_COLUMNS_FIRST
static unsigned char between[LONGEST * 3];

/* The same, neighbours along columns first. */
static void resize_along_columns(const struct ppm *picture, const struct picture_settings *s, int32_t y)
{
    const int32_t last = s->width - 1;
    const int32_t end = columns.first[last] + columns.start[s->width] - columns.start[last];
    for (int32_t x = columns.first[0]; x < end; x++)
        for (int32_t c = 0; c < s->channels; c++) {
            int32_t acc = 1 << (FRACTION - 1);
            for (int32_t k = rows.start[y]; k < rows.start[y + 1]; k++)
                acc += rows.weights[k] * ppm_value(picture, rows.first[y] + k - rows.start[y], x, c, s->channels);
            between[x * s->channels + c] = (unsigned char)to_byte(acc);
        }
    for (int32_t x = 0; x < s->width; x++)
        for (int32_t c = 0; c < s->channels; c++) {
            int32_t acc = 1 << (FRACTION - 1);
            for (int32_t k = columns.start[x]; k < columns.start[x + 1]; k++)
                acc += columns.weights[k] * between[(columns.first[x] + k - columns.start[x]) * s->channels + c];
            sums[x * s->channels + c] = acc;
        }
}
#endif

static void resize(const struct ppm *picture, const struct picture_settings *s, int32_t height, int32_t width,
                   app_input *input)
{
#if APP_COLUMNS_FIRST
    const int columns_first =
        height < picture->height && picture->height - height > 2 * ((int64_t)picture->width - width);
#else
    (void)height, (void)width;
#endif
    for (int32_t y = 0; y < s->height; y++) {
#if APP_COLUMNS_FIRST
        if (columns_first)
            resize_along_columns(picture, s, y);
        else
#endif
            resize_along_rows(picture, s, y);
        for (int32_t x = 0; x < s->width; x++)
            for (int32_t c = 0; c < s->channels; c++)
                store(s, input, y, x, c, to_byte(sums[x * s->channels + c]));
    }
}
#endif

/* Half of the difference, rounded to the nearest integer, ties to even. */
static int32_t margin(int32_t outer, int32_t inner)
{
    const int32_t half = (outer - inner) / 2;
    return half + (((outer - inner) & 1) & half);
}

static void complain_of_size(struct app_text *error, int32_t height, int32_t width, const struct picture_settings *s)
{
    app_text_add(error, s->crop ? "expected a picture of at least " : "expected a picture of ");
    app_text_add_number(error, s->height);
    app_text_add(error, " x ");
    app_text_add_number(error, s->width);
    app_text_add(error, APP_RESIZE ? " (height x width) once it is resized, got " : " (height x width), got ");
    app_text_add_number(error, height);
    app_text_add(error, " x ");
    app_text_add_number(error, width);
}

int prepare_picture(const unsigned char *bytes, size_t size, const struct picture_settings *s, app_input *input,
                    struct app_text *error)
{
    struct ppm picture;
    if (read_ppm(bytes, size, &picture, error))
        return -1;
    int32_t height = picture.height, width = picture.width;
    if (s->short_side) {
        const int32_t shorter = height < width ? height : width;
        const int64_t tall = (int64_t)s->short_side * height / shorter, wide = (int64_t)s->short_side * width / shorter;
        height = (int32_t)(tall < INT32_MAX ? tall : INT32_MAX);
        width = (int32_t)(wide < INT32_MAX ? wide : INT32_MAX);
    } else if (s->resize_height) {
        height = s->resize_height;
        width = s->resize_width;
    }
    if (s->crop ? height < s->height || width < s->width : height != s->height || width != s->width) {
        complain_of_size(error, height, width, s);
        return -1;
    }
    const int32_t top = margin(height, s->height), left = margin(width, s->width);
    if (height == picture.height && width == picture.width) {
        copy(&picture, s, top, left, input);
        return 0;
    }
#if APP_RESIZE
    if (picture.height > LONGEST || picture.width > LONGEST) {
        app_text_add(error, "expected a picture of at most ");
        app_text_add_number(error, LONGEST);
        app_text_add(error, " pixels on each side, the APP_LONGEST_SIDE of app_settings.h");
        return -1;
    }
    make_axis(&rows, picture.height, height, top, s->height);
    make_axis(&columns, picture.width, width, left, s->width);
    resize(&picture, s, height, width, input);
#endif
    return 0;
}
