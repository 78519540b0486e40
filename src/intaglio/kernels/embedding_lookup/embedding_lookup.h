/* Rows of a table by computed indices.   y[i, k] = table[ids[i], k];   negative indices count from the end */
#ifndef IG_EMBEDDING_LOOKUP_H
#define IG_EMBEDDING_LOOKUP_H

#include "common/fixedpoint.h"

struct ig_embedding_lookup {
    int32_t rows, run; /* of the table; elements of a row */
};

#endif
