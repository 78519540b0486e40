/* Run the model on files and print what it finds in them.
 *
 * With files (APP_FILES): ./main FILE..., each read, prepared and run in turn. Without: the one file that input.c
 * compiles into the program.
 */
#include "app_settings.h"
#include "app_text.h"

#if APP_FILES
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(const char *text) { fputs(text, stdout); }

static void print_error(const char *text) { fputs(text, stderr); }
#else
#include "board.h"

extern const char app_file_name[]; /* of input.c */
extern const unsigned char app_file[], app_file_end[];

static void print(const char *text) { board_print(text); }

static void print_error(const char *text) { board_print(text); }
#endif

/* Returns 0, or 1 after a message. */
static int run(const char *name, const unsigned char *bytes, size_t size)
{
    struct app_text text;
    app_text_clear(&text);
    if (app_prepare(bytes, size, &text)) {
        print_error("error: ");
        print_error(name);
        print_error(": ");
        print_error(text.chars);
        print_error("\n");
        return 1;
    }
    const int status = app_run();
    if (status) {
        app_text_add_number(&text, status);
        print_error("error: the model returned status ");
        print_error(text.chars);
        print_error("\n");
        return 1;
    }
    print(name);
    print("\n");
    app_show(print);
    return 0;
}

#if APP_FILES
static int run_file(const char *name)
{
    static const size_t block = 1 << 16;
    unsigned char *bytes = NULL;
    size_t size = 0, got = 0;
    FILE *file = fopen(name, "rb");
    int failed = !file;
    while (!failed) {
        unsigned char *more = realloc(bytes, size + block);
        failed = !more;
        if (failed)
            break;
        bytes = more;
        got = fread(bytes + size, 1, block, file);
        size += got;
        failed = ferror(file);
        if (got < block)
            break;
    }
    if (failed)
        fprintf(stderr, "error: %s: cannot be read: %s\n", name, strerror(errno));
    else
        failed = run(name, bytes, size);
    if (file)
        fclose(file);
    free(bytes);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2) {
        fprintf(stderr, "error: expected files: %s " APP_EXAMPLE " ...\n", argv[0]);
        return 1;
    }
    for (int i = 1; i < argc; i++)
        failed |= run_file(argv[i]);
    return failed;
}
#else
int main(void) { return run(app_file_name, app_file, (size_t)(app_file_end - app_file)); }
#endif
