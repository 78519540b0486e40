/* Units are outer places. Macros: IG_NAME. */
#include "concat/concat.h"

static void IG_NAME(const struct ig_concat *p, const void *const *inputs, void *output, void *scratch, int32_t begin,
                    int32_t end)
{
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        unsigned char *to = (unsigned char *)output + (size_t)i * p->run;
        for (int32_t k = 0; k < p->inputs; k++) {
            const size_t n = (size_t)p->bytes[k];
            memcpy(to, (const unsigned char *)inputs[k] + (size_t)i * n, n);
            to += n;
        }
    }
}
