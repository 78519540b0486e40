/* Units are indices. An index outside the table reads the nearest row.
 * Macros: IG_NAME, IG_X (an unsigned type of the element's size), IG_IDS (type of the indices).
 */
#include "embedding_lookup/embedding_lookup.h"

static void IG_NAME(const struct ig_embedding_lookup *p, const IG_X *table, const IG_IDS *ids, IG_X *y, void *scratch,
                    int32_t begin, int32_t end)
{
    const size_t run = (size_t)p->run;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        int32_t row = ids[i];
        if (row < 0)
            row += p->rows;
        row = row < 0 ? 0 : row >= p->rows ? p->rows - 1 : row;
        memcpy(y + (size_t)i * run, table + (size_t)row * run, run * sizeof *y);
    }
}
