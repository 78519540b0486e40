/* The specification in C. Units are rows. Macros: IG_NAME, IG_X, IG_Y (element types). */
#include "softmax_tflite/softmax_tflite.h"

static void IG_NAME(const struct ig_softmax_tflite *p, const IG_X *x, IG_Y *y, void *scratch, int32_t begin,
                    int32_t end)
{
    (void)scratch;
    for (int32_t row = begin; row < end; row++) {
        const IG_X *from = x + (size_t)row * p->length;
        IG_Y *to = y + (size_t)row * p->length;
        int32_t largest = from[0];
        int64_t sum = 0;
        for (int32_t i = 1; i < p->length; i++)
            largest = from[i] > largest ? from[i] : largest;
        for (int32_t i = 0; i < p->length; i++)
            if (from[i] - largest >= p->diff_min)
                sum += ig_rounding_divide_by_pot(ig_softmax_tflite_exp(p, from[i] - largest), 12);
        /* 2^19 <= sum < 2^31: the largest element alone adds 2^19, and there are fewer than 2^12 */
        const int32_t headroom = 31 - ig_floor_log2(sum), exponent = 12 - headroom + 31 - 8;
        const int32_t scale = ig_one_over_one_plus_x((int32_t)(sum * ((int64_t)1 << headroom) - ((int64_t)1 << 31)));
        for (int32_t i = 0; i < p->length; i++) {
            if (from[i] - largest < p->diff_min) {
                to[i] = (IG_Y)p->low;
                continue;
            }
            const int32_t e = ig_softmax_tflite_exp(p, from[i] - largest);
            const int32_t y_steps = ig_saturating_rounding_doubling_high_multiply(scale, e); /* not negative */
            const int32_t steps = exponent > 31 ? 0 : ig_rounding_divide_by_pot(y_steps, exponent);
            to[i] = (IG_Y)ig_saturate((int64_t)steps + p->low, p->low, p->high);
        }
    }
}
