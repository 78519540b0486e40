/* A function of one value by a table, one for all or one per channel.
 *
 *     o = x - first
 *     shift = f = 0:   y = table[o]
 *     otherwise:   b = o >> shift, r = o mod 2^shift, k = shifts[b], i = starts[b] + (r >> k), q = r mod 2^k
 *                  y = (table[i] 2^k + (table[i + 1] - table[i]) q + 2^(k + f - 1)) >> (k + f)
 *
 * Without starts and shifts every block has one interval: starts[b] = b, k = shift.
 */
#ifndef IG_LUT_H
#define IG_LUT_H

#include "common/fixedpoint.h"

struct ig_lut {
    const void *table;
    const uint16_t *starts; /* of blocks: first knot; NULL where all have one interval */
    const uint8_t *shifts;  /* of blocks: codes between two knots, as a power of two */
    int32_t first, mask;    /* smallest code; mask keeps codes that the type does not have from leaving the table */
    int32_t shift, fraction, entries; /* fraction: f, bits behind the point of the table's knots */
    int32_t channels;                 /* with a table each, or 1 */
};

#endif
