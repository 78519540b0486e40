/* Real inputs to codes, for a library that Python calls whose model takes codes.
 *
 *     q = clamp(round_half_even(x / scale) + zero_point, low, high)
 *
 * The same as QuantParams.quantize, bit for bit: one float32 division, then a rounding that is exact. Adding and taking
 * away 1.5 * 2**23 rounds to an integer, ties to even, below 2**22 in magnitude; what is clamped to 2**20 before
 * saturates anyway, since codes and zero points have 16 bits at most. No flag of the build may break that (no fast
 * math, and floats as wide as they say), which FLT_EVAL_METHOD tells.
 */
#include <float.h>
#include <stdint.h>

#define IG_ROUND 12582912.0f
#define IG_BEYOND 0x49800000   /* the bits of 2**20 */
#define IG_INFINITE 0x7f800000 /* of infinity; those of NaN lie above */

union ig_bits {
    float real;
    int32_t bits;
};

/* Returns 0; or 1 where some x is not finite or floats are no floats here, and then the codes mean nothing. Comparisons
 * are of bits, since compilers make no vectors of those of floats. */
#define IG_QUANTIZE(NAME, TYPE)                                                                                      \
    int NAME(const float *x, int64_t count, float scale, int32_t zero_point, int32_t low, int32_t high, TYPE *codes) \
    {                                                                                                                \
        int32_t bad = FLT_EVAL_METHOD != 0;                                                                          \
        for (int64_t i = 0; i < count; i++) {                                                                        \
            union ig_bits from = {x[i]}, v = {x[i] / scale};                                                         \
            bad |= (from.bits & INT32_MAX) >= IG_INFINITE;                                                           \
            const int32_t size = v.bits & INT32_MAX;                                                                 \
            v.bits = (size < IG_BEYOND ? size : IG_BEYOND) | (v.bits & INT32_MIN);                                   \
            int32_t q = (int32_t)((v.real + IG_ROUND) - IG_ROUND) + zero_point;                                      \
            q = q < low ? low : q;                                                                                   \
            codes[i] = (TYPE)(q < high ? q : high);                                                                  \
        }                                                                                                            \
        return bad;                                                                                                  \
    }

IG_QUANTIZE(ig_library_quantize_u8, uint8_t)
IG_QUANTIZE(ig_library_quantize_s8, int8_t)
IG_QUANTIZE(ig_library_quantize_u16, uint16_t)
IG_QUANTIZE(ig_library_quantize_s16, int16_t)
