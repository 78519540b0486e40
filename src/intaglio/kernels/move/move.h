/* Elements in another order: transpose, slice, expand, depth to space, space to depth, and plain copies.
 *
 *     y[o, r, c] = x[offset + outer offset of o + r * row_stride + c * column_stride]
 *
 * o counts over `rank` outer axes. Strides count elements; 0 repeats, negative ones walk backwards.
 */
#ifndef IG_MOVE_H
#define IG_MOVE_H

#include "common/walk.h"

struct ig_move {
    int32_t offset, rank, size[IG_MAX_RANK], stride[IG_MAX_RANK];
    int32_t rows, row_stride, columns, column_stride;
};

enum { IG_MOVE_TILE = 32 }; /* so many rows and columns of both sides stay in the nearest cache */

#endif
