/* The helpers of kernels/common over arrays, for ctypes. */
#include "common/divide.h"
#include "common/exponential.h"
#include "common/gemmlowp.h"
#include "common/requantize.h"

#define MAP(name, expression)                                                                \
    void name(const int64_t *x, const int64_t *y, const int64_t *z, int64_t *out, int64_t n) \
    {                                                                                        \
        (void)y, (void)z;                                                                    \
        for (int64_t i = 0; i < n; i++)                                                      \
            out[i] = (expression);                                                           \
    }
#define X (x[i])
#define Y ((int32_t)y[i])
#define Z ((int32_t)z[i])

MAP(saturate, ig_saturate(X, Y, Z))
MAP(rounding_shift_right, ig_rounding_shift_right(X, Y))
MAP(rounding_shift_right_even, ig_rounding_shift_right_even(X, Y))
MAP(rounding_shift_right_away, ig_rounding_shift_right_away(X, Y))
MAP(saturating_shift_left, ig_saturating_shift_left(X, Y))
MAP(saturating_rounding_doubling_high_multiply, ig_saturating_rounding_doubling_high_multiply((int32_t)X, Y))
MAP(rounding_divide_by_pot, ig_rounding_divide_by_pot((int32_t)X, Y))
MAP(integer_sqrt, ig_integer_sqrt(X))
MAP(floor_log2, ig_floor_log2(X))
MAP(divide, ig_divide(X, y[i]))
MAP(exp_on_negative_values, ig_exp_on_negative_values((int32_t)X))
MAP(one_over_one_plus_x, ig_one_over_one_plus_x((int32_t)X))
MAP(scale_half_up, ig_scale_half_up(X, Y, Z))
MAP(scale_half_up_wide, ig_scale_half_up_wide(X, Y, Z))
MAP(scale_half_even, ig_scale_half_even(X, Y, Z))
MAP(scale_half_even_wide, ig_scale_half_even_wide(X, Y, Z))
MAP(scale_half_away, ig_scale_half_away(X, Y, Z))
MAP(scale_half_away_wide, ig_scale_half_away_wide(X, Y, Z))
MAP(scale_tflite, ig_scale_tflite(X, Y, Z))
MAP(scale_shift, ig_scale_shift(X, Y, Z))
MAP(scale_shift_wide, ig_scale_shift_wide(X, Y, Z))

void exponential(const int32_t *low, int32_t lows, const int32_t *high, int32_t highs, const int64_t *x, int64_t *out,
                 int64_t n)
{
    const struct ig_exponential tables = {low, high, lows - 1, highs - 1};
    for (int64_t i = 0; i < n; i++)
        out[i] = ig_exponential(&tables, (int32_t)x[i]);
}
