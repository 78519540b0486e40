/* What the self-test asks of a board without an operating system. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Print text to the debugger or emulator. */
void board_print(const char *text);

/* Fill the unused stack with a pattern; returns the stack pointer. */
uintptr_t board_paint_stack(void);

/* Bytes of stack that were used below `top` since it was painted. */
uint32_t board_stack_used(uintptr_t top);

/* Ticks of the board's timer, upwards, modulo 2^32. */
uint32_t board_ticks(void);

/* What `ticks` mean in executed instructions; 0 where the emulator was not told to count. */
uint32_t board_instructions(uint32_t ticks);

#endif
