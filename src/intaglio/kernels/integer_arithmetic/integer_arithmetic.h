/* Arithmetic of plain integers that broadcast.   y = saturate(a + b), a - b, a * b, min(a, b), max(a, b) */
#ifndef IG_INTEGER_ARITHMETIC_H
#define IG_INTEGER_ARITHMETIC_H

#include "common/walk.h"

struct ig_integer_arithmetic {
    int32_t rank, size[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK];
};

#endif
