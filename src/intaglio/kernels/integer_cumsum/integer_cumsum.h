/* Running sums of plain integers along an axis.   y[j] = saturate(sum of x[i] over i <= j) */
#ifndef IG_INTEGER_CUMSUM_H
#define IG_INTEGER_CUMSUM_H

#include "common/fixedpoint.h"

struct ig_integer_cumsum {
    int32_t count, inner;       /* elements of the axis; elements between two of them */
    int32_t exclusive, reverse; /* 0 or 1 */
};

#endif
