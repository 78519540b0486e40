/* The specification in C. Units are elements. In 64 bits nothing overflows: |a b| <= 2**62.
 * Macros: IG_NAME, IG_A, IG_B (element types), IG_FUNCTION (an expression of a and b, int64_t).
 */
#include "integer_arithmetic/integer_arithmetic.h"

static void IG_NAME(const struct ig_integer_arithmetic *p, const IG_A *a_data, const IG_B *b_data, int32_t *y,
                    void *scratch, int32_t begin, int32_t end)
{
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const int64_t a = a_data[ig_offset(p->rank, p->size, p->a_stride, i)];
        const int64_t b = b_data[ig_offset(p->rank, p->size, p->b_stride, i)];
        const int64_t found = IG_FUNCTION;
        y[i] = (int32_t)(found < INT32_MIN ? INT32_MIN : found > INT32_MAX ? INT32_MAX : found);
    }
}
