/* Networks in strips of rows: every stage turns some rows of its input into rows of its output.
 *
 * The stages of a pipeline hand strips to each other through small buffers, so that what lies between them never
 * leaves the cache. Rows are addressed from where row 0 would lie; of a strip only the rows at hand exist.
 */
#ifndef IG_ROWS_H
#define IG_ROWS_H

#include "common/fixedpoint.h"

struct ig_stage;

/* Rows [row0, row1) of the output, parts [part0, part1) of its channels. */
typedef void (*ig_rows_function)(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y,
                              int32_t row0, int32_t row1, int32_t part0, int32_t part1);

struct ig_stage {
    ig_rows_function run;
    const void *params;
    int32_t parts;                 /* of its output channels */
    int32_t stride, before, taps;  /* output row r reads input rows r * stride - before and the taps - 1 after it */
    int32_t x_height;              /* rows of its input that exist; beyond them it reads `fill` */
    /* The buffer that holds its input; pitch 0: it reads the tensor itself, and needs no row that does not exist. */
    int32_t buffer, pitch, left, right; /* offset in the working memory; bytes of a row, and of its borders */
    int32_t fill;
};

struct ig_rows {
    const struct ig_stage *stages; /* the last one writes the output */
    int32_t count;
    int32_t strip;                 /* output rows at a time */
    int32_t split_parts;           /* units are parts of the last stage instead of rows */
    int32_t height;                /* output rows */
};

/* Which rows of each buffer are there. */
struct ig_have {
    int32_t from, to;
};

static void ig_rows_produce(const struct ig_rows *p, int32_t k, const uint8_t *x, const uint8_t *skip, uint8_t *y,
                            uint8_t *scratch, struct ig_have *have, int32_t row0, int32_t row1, int32_t part0,
                            int32_t part1)
{
    const struct ig_stage *stage = &p->stages[k];
    const uint8_t *input = x;
    if (stage->pitch) {
        const int32_t from = row0 * stage->stride - stage->before;
        const int32_t to = (row1 - 1) * stage->stride - stage->before + stage->taps;
        const size_t pitch = (size_t)stage->pitch;
        uint8_t *buffer = scratch + stage->buffer;
        /* Row `from` lies at the buffer's start. The sum is one of addresses: rows in front are never touched. */
        uint8_t *const origin = (uint8_t *)((uintptr_t)buffer - (uintptr_t)((intptr_t)from * (intptr_t)pitch));
        int32_t next = from;
        if (have[k].to > from) { /* rows of the strip before that are still needed */
            const size_t ahead = (size_t)(from - have[k].from) * pitch;
            for (; ahead && next < have[k].to; next++)
                memcpy(buffer + (size_t)(next - from) * pitch, buffer + ahead + (size_t)(next - from) * pitch, pitch);
            next = have[k].to;
        }
        for (; next < to && next < 0; next++)
            memset(buffer + (size_t)(next - from) * pitch, stage->fill, pitch);
        if (next < stage->x_height && next < to) {
            const int32_t stop = to < stage->x_height ? to : stage->x_height;
            for (int32_t row = next; row < stop; row++) {
                uint8_t *at = buffer + (size_t)(row - from) * pitch;
                memset(at, stage->fill, (size_t)stage->left);
                memset(at + pitch - (size_t)stage->right, stage->fill, (size_t)stage->right);
            }
            ig_rows_produce(p, k - 1, x, skip, (uint8_t *)((uintptr_t)origin + (uintptr_t)stage->left), scratch, have,
                            next, stop, 0, p->stages[k - 1].parts);
            next = stop;
        }
        for (; next < to; next++)
            memset(buffer + (size_t)(next - from) * pitch, stage->fill, pitch);
        have[k].from = from;
        have[k].to = to;
        /* The window of output row r begins at r * stride * pitch from here. */
        input = (const uint8_t *)((uintptr_t)origin - (uintptr_t)((intptr_t)stage->before * (intptr_t)pitch));
    }
    stage->run(stage->params, input, skip, y, row0, row1, part0, part1);
}

enum { IG_STAGES = 6 };

/* The same with a second tensor, of the output's shape, which a stage adds. */
static IG_UNUSED void ig_rows_skip(const struct ig_rows *p, const void *x, const void *skip, void *y, void *scratch,
                                   int32_t begin, int32_t end)
{
    struct ig_have have[IG_STAGES];
    const struct ig_stage *last = &p->stages[p->count - 1];
    const int32_t row0 = p->split_parts ? 0 : begin, row1 = p->split_parts ? p->height : end;
    const int32_t part0 = p->split_parts ? begin : 0, part1 = p->split_parts ? end : last->parts;
    if (begin >= end)
        return;
    for (int32_t k = 0; k < p->count; k++)
        have[k] = (struct ig_have){INT32_MIN, INT32_MIN};
    for (int32_t row = row0; row < row1; row += p->strip) {
        const int32_t stop = row + p->strip < row1 ? row + p->strip : row1;
        ig_rows_produce(p, p->count - 1, x, skip, y, scratch, have, row, stop, part0, part1);
    }
}

static IG_UNUSED void ig_rows(const struct ig_rows *p, const void *x, void *y, void *scratch, int32_t begin, int32_t end)
{
    ig_rows_skip(p, x, NULL, y, scratch, begin, end);
}

/* Rows as they are, into a bordered buffer. */
struct ig_copy_rows {
    int32_t x_row, y_row, nbytes;
};

static IG_UNUSED void ig_copy_rows(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y,
                              int32_t row0, int32_t row1, int32_t part0, int32_t part1)
{
    const struct ig_copy_rows *p = params;
    (void)part0, (void)part1, (void)skip;
    for (int32_t row = row0; row < row1; row++)
        memcpy(y + (ptrdiff_t)row * p->y_row, x + (ptrdiff_t)row * p->x_row, (size_t)p->nbytes);
}

#endif
