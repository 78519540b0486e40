/* The file APP_INPUT, byte for byte, for a board without files: `make run INPUT=other` compiles another one in. */
#include "app_settings.h"

#ifndef APP_INPUT
#define APP_INPUT APP_EXAMPLE
#endif

__asm__(".section .rodata\n"
        ".balign 8\n"
        ".global app_file\n"
        "app_file:\n"
        ".incbin \"" APP_INPUT "\"\n"
        ".global app_file_end\n"
        "app_file_end:\n"
        ".previous\n");

extern const char app_file_name[];
const char app_file_name[] = APP_INPUT;
