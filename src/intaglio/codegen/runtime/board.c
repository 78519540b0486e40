/* Start-up for a Cortex-M under an emulator or a debugger: vectors, memory, text through semihosting, a clock.
 *
 * On a board of your own keep its start-up code, call the model from there, and print with what the board has.
 */
#include "board.h"

#include <string.h>

extern uint32_t board_stack_top[], board_stack_limit[];
extern uint32_t board_data_start[], board_data_end[], board_data_load[], board_bss_start[], board_bss_end[];

int main(void);
void board_reset(void);

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18, EXIT_OK = 0x20026, EXIT_FAILED = 0x20023 };
static const uint32_t PAINT = 0xa5c3a5c3;

static void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void board_print(const char *text) { semihosting(SYS_WRITE0, text); }

static void leave(int status)
{
    semihosting(SYS_EXIT, (const void *)(uintptr_t)(status ? EXIT_FAILED : EXIT_OK));
    for (;;)
        ;
}

static void board_fault(void)
{
    board_print("fault: the processor stopped at an instruction or address that it does not have\n");
    leave(1);
}

void board_reset(void)
{
    memcpy(board_data_start, board_data_load, (size_t)((char *)board_data_end - (char *)board_data_start));
    memset(board_bss_start, 0, (size_t)((char *)board_bss_end - (char *)board_bss_start));
    leave(main());
}

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {board_stack_top,
             {board_reset, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault,
              board_fault, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault}};

__attribute__((noinline)) uintptr_t board_paint_stack(void)
{
    uintptr_t top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (volatile uint32_t *word = board_stack_limit; (uintptr_t)word < top; word++)
        *word = PAINT;
    return top;
}

uint32_t board_stack_used(uintptr_t top)
{
    const volatile uint32_t *word = board_stack_limit;
    while ((uintptr_t)word < top && *word == PAINT)
        word++;
    return (uint32_t)(top - (uintptr_t)word);
}

#ifdef BOARD_TIMER /* address of a CMSDK timer: control, value (counts down), reload */
uint32_t board_ticks(void)
{
    volatile uint32_t *timer = (volatile uint32_t *)(uintptr_t)BOARD_TIMER;
    if (!(timer[0] & 1)) {
        timer[2] = UINT32_MAX;
        timer[1] = UINT32_MAX;
        timer[0] = 1;
    }
    return ~timer[1];
}

/* The emulator lets 2^6 ns pass for each instruction, and the timer counts one in 40 ns. */
uint32_t board_instructions(uint32_t ticks) { return ticks / 8 * 5 + ticks % 8 * 5 / 8; }
#else
uint32_t board_ticks(void) { return 0; }

uint32_t board_instructions(uint32_t ticks) { return ticks; }
#endif
