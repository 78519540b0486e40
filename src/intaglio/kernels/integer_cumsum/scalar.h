/* Units are lines along the axis. Fewer than 2**31 elements of at most 2**31: a sum has less than 2**62.
 * Macros: IG_NAME, IG_X (element type).
 */
#include "integer_cumsum/integer_cumsum.h"

static void IG_NAME(const struct ig_integer_cumsum *p, const IG_X *x, int32_t *y, void *scratch, int32_t begin,
                    int32_t end)
{
    const size_t inner = (size_t)p->inner, count = (size_t)p->count;
    (void)scratch;
    for (int32_t line = begin; line < end; line++) {
        const size_t first = (size_t)line / inner * count * inner + (size_t)line % inner;
        int64_t sum = 0;
        for (size_t k = 0; k < count; k++) {
            const size_t at = first + (p->reverse ? count - 1 - k : k) * inner;
            const int64_t before = sum;
            sum += x[at];
            const int64_t found = p->exclusive ? before : sum;
            y[at] = (int32_t)(found < INT32_MIN ? INT32_MIN : found > INT32_MAX ? INT32_MAX : found);
        }
    }
}
