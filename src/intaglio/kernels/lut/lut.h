/* A function of one value by a table, one for all or one per channel.
 *
 *     o = x - first
 *     shift = f = 0:   y = table[o]
 *     otherwise:   i = o >> shift, r = o mod 2^shift
 *                  y = (table[i] 2^shift + (table[i + 1] - table[i]) r + 2^(shift + f - 1)) >> (shift + f)
 */
#ifndef IG_LUT_H
#define IG_LUT_H

#include "common/fixedpoint.h"

struct ig_lut {
    const void *table;
    int32_t first, mask; /* smallest code; mask keeps codes that the type does not have from leaving the table */
    int32_t shift, fraction, entries; /* fraction: f, bits behind the point of the table's knots */
    int32_t channels;                 /* with a table each, or 1 */
};

#endif
