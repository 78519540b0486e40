/* Matrix product of two computed tensors; leading axes broadcast.
 *
 *     acc[s,m,n] = sum_k (a[s,m,k] - z_a) * (b[s,k,n] - z_b)
 *     y[s,m,n] = clamp(z_y + acc * M, low, high)
 */
#ifndef IG_MATMUL_H
#define IG_MATMUL_H

#include "common/requantize.h"
#include "common/walk.h"

struct ig_matmul {
    struct ig_requantize requantize;
    int32_t a_zero_point, b_zero_point, y_zero_point, low, high;
    int32_t rows, depth, columns;                                                  /* M, K, N */
    int32_t rank, size[IG_MAX_RANK], a_stride[IG_MAX_RANK], b_stride[IG_MAX_RANK]; /* leading axes, in matrices */
};

enum { IG_MATMUL_RUN = 64 }; /* columns that are summed together */

#endif
