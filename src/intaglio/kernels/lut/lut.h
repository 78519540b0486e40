/* A function of one value by a table, one for all or one per channel.
 *
 *     o = x - first
 *     shift = 0:   y = table[o]
 *     otherwise:   i = o >> shift, r = o mod 2^shift
 *                  y = table[i] + (((table[i + 1] - table[i]) * r + 2^(shift - 1)) >> shift)
 */
#ifndef IG_LUT_H
#define IG_LUT_H

#include "common/fixedpoint.h"

struct ig_lut {
    const void *table;
    int32_t first, mask; /* smallest code; mask keeps codes that the type does not have from leaving the table */
    int32_t shift, entries;
    int32_t channels; /* with a table each, or 1 */
};

#endif
