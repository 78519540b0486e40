/* A kernel whose units are output rows, as a stage of a pipeline. It checks the image's edges itself, so its strips
 * have no borders. Macros: IG_NAME, IG_KERNEL (the function), IG_PARAMS (its struct), IG_X, IG_Y (element types).
 */
#include "vector/rows.h"

static void IG_NAME(const void *params, const uint8_t *x, const uint8_t *work, uint8_t *y, int32_t row0, int32_t row1,
                    int32_t part0, int32_t part1)
{
    (void)part0, (void)part1;
    IG_KERNEL((const IG_PARAMS *)params, (const IG_X *)x, (IG_Y *)y, (void *)(uintptr_t)work, row0, row1);
}
