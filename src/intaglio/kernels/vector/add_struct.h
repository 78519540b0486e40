/* Parameters of elementwise sums over rows. */
#ifndef IG_ADD_STRUCT_H
#define IG_ADD_STRUCT_H

#include "vector/rows.h"

struct ig_add_rows {
    const int32_t *a_factors, *b_factors, *factors; /* [IG_FACTORS][lanes] each */
    int32_t a_zero_point, b_zero_point;             /* of the unsigned codes; 0 for codes of 16 bits */
    int32_t x_row, y_row, nbytes;
    int32_t low, high;
};

#endif
