/* Choice between two operands that broadcast.   y = condition ? a : b */
#ifndef IG_SELECT_H
#define IG_SELECT_H

#include "common/walk.h"

struct ig_select {
    int32_t rank, size[IG_MAX_RANK], condition_stride[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK];
};

#endif
