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
typedef void (*ig_rows_function)(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0,
                                 int32_t row1, int32_t part0, int32_t part1);

struct ig_stage {
    ig_rows_function run;
    const void *params;
    int32_t parts;                /* of its output channels */
    int32_t stride, before, taps; /* output row r reads input rows r * stride - before and the taps - 1 after it */
    int32_t x_height;             /* rows of its input that exist; beyond them it reads `fill` */
    /* The buffer of its input. The first stage reads the tensor itself, and needs no row that does not exist. */
    int32_t buffer, pitch, left, right; /* offset in the working memory; bytes of a row, and of its borders */
    int32_t fill;
    /* It is given the address so many rows above row 0: those that pad, where it does not check for them. */
    int32_t above;
    int32_t work; /* offset of working memory, which the stage gets in place of the second tensor; -1: none */
};

struct ig_rows {
    const struct ig_stage *stages; /* the last one writes the output */
    int32_t count;
    int32_t strip;       /* output rows at a time */
    int32_t split_parts; /* units are parts of the last stage instead of rows */
    int32_t height;      /* output rows */
};

enum { IG_STAGES = 10 };

/* Of one stage, in one strip: the rows that it makes; of its buffer, the row at its start and the first missing one. */
struct ig_strip {
    int32_t row0, row1, from, have;
};

/* From the last stage to the first: which rows each has to make, those that its buffer still holds left out. */
static void ig_rows_plan(const struct ig_rows *p, uint8_t *scratch, struct ig_strip *strips)
{
    for (int32_t k = p->count - 1; k > 0; k--) {
        const struct ig_stage *stage = &p->stages[k];
        struct ig_strip *strip = &strips[k], *before = &strips[k - 1];
        const size_t pitch = (size_t)stage->pitch;
        uint8_t *buffer = scratch + stage->buffer;
        if (strip->row0 >= strip->row1) { /* nothing to do: the buffers in front stay as they are */
            before->row0 = before->row1 = 0;
            continue;
        }
        const int32_t from = strip->row0 * stage->stride - stage->before;
        const int32_t to = (strip->row1 - 1) * stage->stride - stage->before + stage->taps;
        int32_t next = from;
        if (strip->have > from) { /* rows of the strip before that are still needed */
            const size_t ahead = (size_t)(from - strip->from) * pitch;
            for (; ahead && next < strip->have; next++)
                memcpy(buffer + (size_t)(next - from) * pitch, buffer + ahead + (size_t)(next - from) * pitch, pitch);
            next = strip->have;
        }
        for (; next < to && next < 0; next++)
            memset(buffer + (size_t)(next - from) * pitch, stage->fill, pitch);
        before->row0 = next;
        before->row1 = to < stage->x_height ? to : stage->x_height;
        for (int32_t row = next; row < before->row1; row++) {
            uint8_t *at = buffer + (size_t)(row - from) * pitch;
            memset(at, stage->fill, (size_t)stage->left);
            memset(at + pitch - (size_t)stage->right, stage->fill, (size_t)stage->right);
        }
        for (next = next > before->row1 ? next : before->row1; next < to; next++)
            memset(buffer + (size_t)(next - from) * pitch, stage->fill, pitch);
        strip->from = from;
        strip->have = to;
    }
}

/* Where row 0 of a stage's buffer would lie. A sum of addresses: rows in front of the buffer are never touched. */
static uint8_t *ig_rows_origin(const struct ig_stage *stage, const struct ig_strip *strip, uint8_t *scratch)
{
    const intptr_t back = (intptr_t)strip->from * (intptr_t)stage->pitch;
    return (uint8_t *)((uintptr_t)(scratch + stage->buffer) - (uintptr_t)back);
}

/* The same with a second tensor, of the output's shape, which a stage adds. */
static IG_UNUSED void ig_rows_skip(const struct ig_rows *p, const void *x, const void *skip, void *y, void *scratch,
                                   int32_t begin, int32_t end)
{
    struct ig_strip strips[IG_STAGES];
    const int32_t last = p->count - 1;
    const int32_t row0 = p->split_parts ? 0 : begin, row1 = p->split_parts ? p->height : end;
    if (begin >= end)
        return;
    for (int32_t k = 0; k < p->count; k++)
        strips[k] = (struct ig_strip){0, 0, 0, INT32_MIN};
    for (int32_t row = row0; row < row1; row += p->strip) {
        strips[last].row0 = row;
        strips[last].row1 = row + p->strip < row1 ? row + p->strip : row1;
        ig_rows_plan(p, scratch, strips);
        for (int32_t k = 0; k <= last; k++) {
            const struct ig_stage *stage = &p->stages[k];
            const uint8_t *from = x;
            uint8_t *to = y;
            if (strips[k].row0 >= strips[k].row1)
                continue;
            if (k > 0)
                from = (const uint8_t *)((uintptr_t)ig_rows_origin(stage, &strips[k], scratch) -
                                         (uintptr_t)((intptr_t)stage->above * (intptr_t)stage->pitch));
            if (k < last)
                to = (uint8_t *)((uintptr_t)ig_rows_origin(stage + 1, &strips[k + 1], scratch) +
                                 (uintptr_t)stage[1].left);
            stage->run(stage->params, from, stage->work < 0 ? skip : (uint8_t *)scratch + stage->work, to,
                       strips[k].row0, strips[k].row1, k == last && p->split_parts ? begin : 0,
                       k == last && p->split_parts ? end : stage->parts);
        }
    }
}

static IG_UNUSED void ig_rows(const struct ig_rows *p, const void *x, void *y, void *scratch, int32_t begin,
                              int32_t end)
{
    ig_rows_skip(p, x, NULL, y, scratch, begin, end);
}

/* Rows as they are, into a bordered buffer. */
struct ig_copy_rows {
    int32_t x_row, y_row, nbytes;
};

static IG_UNUSED void ig_copy_rows(const void *params, const uint8_t *x, const uint8_t *skip, uint8_t *y, int32_t row0,
                                   int32_t row1, int32_t part0, int32_t part1)
{
    const struct ig_copy_rows *p = params;
    (void)part0, (void)part1, (void)skip;
    for (int32_t row = row0; row < row1; row++)
        memcpy(y + (ptrdiff_t)row * p->y_row, x + (ptrdiff_t)row * p->x_row, (size_t)p->nbytes);
}

#endif
