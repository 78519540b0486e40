/* The specification in C. Units are elements of the output.
 * Macros: IG_NAME, IG_X (element type), IG_BETTER (>, >=, < or <=: what takes the place of the best so far).
 */
#include "argmax/argmax.h"

static void IG_NAME(const struct ig_argmax *p, const IG_X *x, int32_t *y, void *scratch, int32_t begin, int32_t end)
{
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const IG_X *from = x + (size_t)(i / p->inner) * p->length * p->inner + i % p->inner;
        int32_t found = 0;
        IG_X best = from[0];
        for (int32_t k = 1; k < p->length; k++) {
            const IG_X candidate = from[(size_t)k * p->inner];
            if (candidate IG_BETTER best) {
                best = candidate;
                found = k;
            }
        }
        y[i] = found;
    }
}
