/* Relation of two operands that broadcast.
 *
 *     d = (a - z_a) * m_a - (b - z_b) * m_b - offset;   y = 1 where d < 0 and below, d = 0 and equal, d > 0 and above
 *
 * |a - z_a| <= 2**32 and |m_a| <= 2**29, so each product is below 2**62.
 */
#ifndef IG_RELATION_H
#define IG_RELATION_H

#include "common/walk.h"

struct ig_relation {
    int32_t a_zero_point, b_zero_point, a_multiplier, b_multiplier, offset;
    int32_t below, equal, above; /* 0 or 1 */
    int32_t rank, size[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK];
};

#endif
