/* Dot products for the `dsp` kernels: one or two columns of inputs with two rows of weights at a time.
 *
 * A column holds x - z_x as 16-bit halves; of each four neighbours first the even ones, then the odd ones, which is how
 * `sxtb16` takes bytes apart. Columns lie in quads, side by side: [K / 4][columns][2 words]. Weights are bytes,
 * [O / 2][K / 4][2 rows][4], zero where O is filled up to pairs and K to eights.
 *
 *     sum (x - z_x) (w - z_w) = sum (x - z_x) w - z_w sum (x - z_x)
 *
 * Partial sums wrap; the whole one is proved to fit 32 bits.
 */
#ifndef IG_DOT_DSP_H
#define IG_DOT_DSP_H

#include "common/finish.h"
#include "common/simd32.h"

#if defined(__ARM_FEATURE_SIMD32) && !defined(IG_NO_SIMD32)

/* One row with a quad of both columns: four bytes of weights become two pairs, each used twice. */
#define IG_ROW_2(a, b)                                                                   \
    "ldr %[w0], [%[w]], #4\n\tsxtb16 %[t], %[w0]\n\tsxtb16 %[w0], %[w0], ror #8\n\t"     \
    "smlad %[" a "], %[ae], %[t], %[" a "]\n\tsmlad %[" b "], %[be], %[t], %[" b "]\n\t" \
    "smlad %[" a "], %[ao], %[w0], %[" a "]\n\tsmlad %[" b "], %[bo], %[w0], %[" b "]\n\t"
#define IG_ROW_1(a)                                                                  \
    "ldr %[w0], [%[w]], #4\n\tsxtb16 %[t], %[w0]\n\tsxtb16 %[w0], %[w0], ror #8\n\t" \
    "smlad %[" a "], %[ae], %[t], %[" a "]\n\tsmlad %[" a "], %[ao], %[w0], %[" a "]\n\t"

/* One quad: 16 multiplications in 16 instructions. In one piece of assembly, because gcc spills what it loads early. */
#define IG_QUAD_2()                                                                                                 \
    do {                                                                                                            \
        uint32_t ae, ao, be, bo, w0, t;                                                                             \
        __asm__ volatile(                                                                                           \
            "ldrd %[ae], %[ao], [%[x]], #8\n\tldrd %[be], %[bo], [%[x]], #8\n\t" IG_ROW_2("a0", "b0")               \
                IG_ROW_2("a1", "b1")                                                                                \
            : [a0] "+r"(a0), [a1] "+r"(a1), [b0] "+r"(b0), [b1] "+r"(b1), [x] "+r"(x), [w] "+r"(w), [ae] "=&r"(ae), \
              [ao] "=&r"(ao), [be] "=&r"(be), [bo] "=&r"(bo), [w0] "=&r"(w0), [t] "=&r"(t)                          \
            :                                                                                                       \
            : "memory");                                                                                            \
    } while (0)
#define IG_QUAD_1()                                                                                                \
    do {                                                                                                           \
        uint32_t ae, ao, w0, t;                                                                                    \
        __asm__ volatile("ldrd %[ae], %[ao], [%[x]], #8\n\t" IG_ROW_1("a0") IG_ROW_1("a1")                         \
                         : [a0] "+r"(a0), [a1] "+r"(a1), [x] "+r"(x), [w] "+r"(w), [ae] "=&r"(ae), [ao] "=&r"(ao), \
                           [w0] "=&r"(w0), [t] "=&r"(t)                                                            \
                         :                                                                                         \
                         : "memory");                                                                              \
    } while (0)

#else

#define IG_ROW(sum, even, odd, word) (IG_SMLAD(sum, even, ig_even_s8(word)), IG_SMLAD(sum, odd, ig_odd_s8(word)))
#define IG_QUAD_2()                   \
    do {                              \
        IG_ROW(a0, x[0], x[1], w[0]); \
        IG_ROW(b0, x[2], x[3], w[0]); \
        IG_ROW(a1, x[0], x[1], w[1]); \
        IG_ROW(b1, x[2], x[3], w[1]); \
        x += 4;                       \
        w += 2;                       \
    } while (0)
#define IG_QUAD_1()                   \
    do {                              \
        IG_ROW(a0, x[0], x[1], w[0]); \
        IG_ROW(a1, x[0], x[1], w[1]); \
        x += 2;                       \
        w += 2;                       \
    } while (0)

#endif

/* sums: column a with row 0, column a with row 1, column b with row 0, column b with row 1. */
static IG_UNUSED IG_APART void ig_dot_dsp_2(const ig_word *x, const ig_word *w, int32_t quads, uint32_t *sums)
{
    uint32_t a0 = 0, a1 = 0, b0 = 0, b1 = 0;
    for (const ig_word *end = w + 2 * quads; w != end;) {
        IG_QUAD_2();
        IG_QUAD_2();
    }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = b0;
    sums[3] = b1;
}

static IG_UNUSED IG_APART void ig_dot_dsp_1(const ig_word *x, const ig_word *w, int32_t quads, uint32_t *sums)
{
    uint32_t a0 = 0, a1 = 0;
    for (const ig_word *end = w + 2 * quads; w != end;) {
        IG_QUAD_1();
        IG_QUAD_1();
    }
    sums[0] = a0;
    sums[1] = a1;
}

/* Sum of one column of several. */
static inline IG_UNUSED int32_t ig_sum_dsp(const ig_word *x, int32_t quads, int32_t step)
{
    uint32_t sum = 0;
    for (int32_t q = 0; q < quads; q++, x += step) {
        IG_SMLAD(sum, x[0], 0x00010001u);
        IG_SMLAD(sum, x[1], 0x00010001u);
    }
    return (int32_t)sum;
}

#endif
