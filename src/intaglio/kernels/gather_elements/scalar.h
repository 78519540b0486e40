/* Units are elements of the output. A negative index counts from the end; one outside the axis reads the nearest
 * element.
 * Macros: IG_NAME, IG_X (an unsigned type of the element's size), IG_IDS (type of the indices).
 */
#include "gather_elements/gather_elements.h"

static void IG_NAME(const struct ig_gather_elements *p, const IG_X *x, const IG_IDS *ids, IG_X *y, void *scratch,
                    int32_t begin, int32_t end)
{
    const size_t inner = (size_t)p->inner;
    (void)scratch;
    for (int32_t i = begin; i < end; i++) {
        const size_t outer = (size_t)i / inner / (size_t)p->ids;
        int32_t place = ids[i];
        if (place < 0)
            place += p->count;
        place = place < 0 ? 0 : place >= p->count ? p->count - 1 : place;
        y[i] = x[(outer * (size_t)p->count + (size_t)place) * inner + (size_t)i % inner];
    }
}
