/* Logarithm of the softmax along rows.
 *
 *     S = sum_j exp((x[j] - max x) * s_x) in Q30 = 2^k (1 + f),  f = i / 256 + r / 2^30
 *     log = (k - 30) * log_two + table[i] + (((table[i + 1] - table[i]) * r + 2^21) >> 22)
 *     y[i] = clamp(z_y - ((max x - x[i]) * M + log) * M', low, high)
 */
#ifndef IG_LOG_SOFTMAX_H
#define IG_LOG_SOFTMAX_H

#include "common/exponential.h"
#include "common/requantize.h"

struct ig_log_softmax {
    struct ig_exponential exponential;
    struct ig_requantize difference, requantize; /* M, M' */
    const int32_t *log_table;                    /* 257 entries */
    int32_t log_two, y_zero_point, low, high, length;
};

#endif
