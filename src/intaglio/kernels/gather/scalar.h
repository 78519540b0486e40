/* Units are slices of the output. Macros: IG_NAME, IG_X (an unsigned type of the element's size). */
#include "gather/gather.h"

static void IG_NAME(const struct ig_gather *p, const IG_X *x, IG_X *y, void *scratch, int32_t begin, int32_t end)
{
    const size_t run = (size_t)p->run;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const IG_X *from = x + ((size_t)(i / p->count) * p->size + (size_t)p->indices[i % p->count]) * run;
        if (run == 1)
            y[i] = *from;
        else
            memcpy(y + i * run, from, run * sizeof *y);
    }
}
