/* Largest or smallest element over axes. */
#ifndef IG_REDUCE_MAX_H
#define IG_REDUCE_MAX_H

#include "common/reduction.h"

struct ig_reduce_max {
    struct ig_reduction reduction;
};

#endif
