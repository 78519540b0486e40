/* Runs kernel calls on stored inputs and compares with stored outputs, byte for byte.
 *
 * The table of calls (`cases`, `case_count`) is generated; the data file given as the argument holds, case after case,
 * the inputs and the expected output. Every call is made whole and in parts, on aligned and on unaligned operands, in
 * place where the call allows it, with working memory and output full of rubbish, and with guard bytes around both.
 * Inputs are allocated to the byte, so that the address sanitizer sees every read that leaves them.
 *
 * Prints one line per wrong result; the exit status is 1 where there was one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INPUTS = 8, GUARD = 64 };

struct parity_case {
    const char *name;
    void (*call)(const void *const *inputs, void *output, void *scratch, int32_t begin, int32_t end);
    int32_t units, split, inputs, may_alias; /* may_alias: one bit per input */
    size_t scratch, output_bytes, item, align,
        input_bytes[MOST_INPUTS]; /* item: of the output; align: of all operands */
};

extern const struct parity_case cases[];
extern const int32_t case_count;

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory) {
        printf("out of memory\n");
        exit(2);
    }
    return memory;
}

static int intact(const unsigned char *guard)
{
    for (int i = 0; i < GUARD; i++)
        if (guard[i] != 0xA5)
            return 0;
    return 1;
}

/* One call in `parts` parts, last part first, operands `offset` bytes off alignment; `alias`: the input whose memory
 * the output takes over, or -1. Returns 1 and prints where something is wrong. */
static int check(const struct parity_case *c, unsigned char *const *stored, const unsigned char *want, int parts,
                 size_t offset, int alias)
{
    void *raw[MOST_INPUTS];
    const void *inputs[MOST_INPUTS];
    unsigned char *memory = allocate(c->output_bytes + 2 * GUARD + 64 + offset);
    unsigned char *output = memory + GUARD + (-(uintptr_t)memory & 63) + offset;
    int wrong = 0;
    memset(memory, 0xA5, c->output_bytes + 2 * GUARD + 64 + offset);
    memset(output, 0x5A, c->output_bytes);
    for (int i = 0; i < c->inputs; i++) {
        raw[i] = allocate(c->input_bytes[i] + offset);
        inputs[i] = (unsigned char *)raw[i] + offset;
        memcpy((unsigned char *)raw[i] + offset, stored[i], c->input_bytes[i]);
        if (i == alias) {
            memcpy(output, stored[i], c->input_bytes[i]);
            inputs[i] = output;
        }
    }
    for (int part = parts - 1; part >= 0; part--) {
        unsigned char *scratch = allocate(c->scratch + 2 * GUARD + 64);
        unsigned char *aligned = scratch + GUARD + (-(uintptr_t)scratch & 63);
        memset(scratch, 0xA5, c->scratch + 2 * GUARD + 64);
        c->call(inputs, output, aligned, (int32_t)((int64_t)c->units * part / parts),
                (int32_t)((int64_t)c->units * (part + 1) / parts));
        if (!intact(aligned - GUARD) || !intact(aligned + c->scratch)) {
            printf("%s: wrote outside its %zu bytes of working memory (%d parts)\n", c->name, c->scratch, parts);
            wrong = 1;
        }
        free(scratch);
    }
    if (!intact(output - GUARD) || !intact(output + c->output_bytes)) {
        printf("%s: wrote outside its output (%d parts, offset %zu, in place %d)\n", c->name, parts, offset, alias);
        wrong = 1;
    }
    if (memcmp(output, want, c->output_bytes)) {
        size_t differ = 0, first = 0;
        for (size_t i = c->output_bytes / c->item; i-- > 0;)
            if (memcmp(output + i * c->item, want + i * c->item, c->item)) {
                differ++;
                first = i;
            }
        printf("%s: %zu of %zu elements differ, first at %zu: got 0x", c->name, differ, c->output_bytes / c->item,
               first);
        for (size_t k = c->item; k-- > 0;)
            printf("%02x", output[first * c->item + k]);
        printf(", want 0x");
        for (size_t k = c->item; k-- > 0;)
            printf("%02x", want[first * c->item + k]);
        printf(" (%d parts, offset %zu, in place %d)\n", parts, offset, alias);
        wrong = 1;
    }
    for (int i = 0; i < c->inputs; i++) {
        if (i != alias && memcmp(inputs[i], stored[i], c->input_bytes[i])) {
            printf("%s: changed its input %d\n", c->name, i);
            wrong = 1;
        }
        free(raw[i]);
    }
    free(memory);
    return wrong;
}

static int run(const struct parity_case *c, FILE *data)
{
    unsigned char *stored[MOST_INPUTS];
    unsigned char *want = allocate(c->output_bytes);
    const int most = c->units < c->split ? c->units : c->split;
    int wrong = 0;
    for (int i = 0; i < c->inputs; i++) {
        stored[i] = allocate(c->input_bytes[i]);
        if (fread(stored[i], 1, c->input_bytes[i], data) != c->input_bytes[i])
            wrong = 2;
    }
    if (fread(want, 1, c->output_bytes, data) != c->output_bytes || wrong) {
        printf("%s: the data file is too short\n", c->name);
        exit(2);
    }
    for (int parts = 1; parts <= 3 && parts <= most && !wrong; parts++)
        wrong |= check(c, stored, want, parts, parts == 2 ? c->align : 0, -1);
    if (!wrong)
        wrong |= check(c, stored, want, 1, c->align, -1);
    for (int i = 0; i < c->inputs && !wrong; i++)
        if (c->may_alias >> i & 1)
            wrong |= check(c, stored, want, most < 3 ? most : 3, 0, i);
    for (int i = 0; i < c->inputs; i++)
        free(stored[i]);
    free(want);
    return wrong;
}

int main(int argc, char **argv)
{
    FILE *data = argc > 1 ? fopen(argv[1], "rb") : NULL;
    int wrong = 0;
    if (!data) {
        printf("usage: parity DATA\n");
        return 2;
    }
    for (int32_t i = 0; i < case_count; i++)
        wrong |= run(&cases[i], data);
    fclose(data);
    printf("%d calls checked\n", (int)case_count);
    return wrong;
}
