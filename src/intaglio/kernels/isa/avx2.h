/* AVX2 in the terms that the vector kernels are written in; see avx512.h for what they mean. A vector is 8 lanes, and
 * packing four of them puts lane 4 L + e of vector b at byte 16 L + 4 b + e (L below 2).
 * avxvnni.h sets IG_VNNI_ where the processor has more.
 */
#ifndef IG_AVX2_H
#define IG_AVX2_H

#ifndef IG_VNNI_
#define IG_VNNI_ 0
#endif

#include "common/requantize.h"
#include "isa/repeat.h"

#include <immintrin.h>

#define IG_LANES 8
#define IG_INLINE static inline __attribute__((always_inline, unused))
typedef __m256i ig_v;

IG_INLINE ig_v ig_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
IG_INLINE void ig_store(void *p, ig_v v) { _mm256_storeu_si256((__m256i *)p, v); }
IG_INLINE ig_v ig_splat(int32_t v) { return _mm256_set1_epi32(v); }
IG_INLINE ig_v ig_plus(ig_v a, ig_v b) { return _mm256_add_epi32(a, b); }
IG_INLINE ig_v ig_subtract(ig_v a, ig_v b) { return _mm256_sub_epi32(a, b); }
IG_INLINE ig_v ig_multiply(ig_v a, ig_v b) { return _mm256_mullo_epi32(a, b); }
#define ig_shift_left(v, bits) _mm256_slli_epi32(v, bits)
#define ig_shift_right(v, bits) _mm256_srai_epi32(v, bits)
IG_INLINE ig_v ig_shift_right_by(ig_v v, int32_t bits) { return _mm256_sra_epi32(v, _mm_cvtsi32_si128(bits)); }
IG_INLINE ig_v ig_clamp_s32(ig_v v, int32_t low, int32_t high)
{
    return _mm256_min_epi32(_mm256_max_epi32(v, _mm256_set1_epi32(low)), _mm256_set1_epi32(high));
}
IG_INLINE ig_v ig_sub_product(ig_v a, ig_v b, ig_v c) { return _mm256_sub_epi32(a, _mm256_mullo_epi32(b, c)); }
IG_INLINE ig_v ig_flip(ig_v v) { return _mm256_xor_si256(v, _mm256_set1_epi8(-128)); }

IG_INLINE ig_v ig_broadcast(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}
struct ig_steps {
    ptrdiff_t one;
};
IG_INLINE struct ig_steps ig_steps(ptrdiff_t step) { return (struct ig_steps){step}; }
IG_INLINE ig_v ig_broadcast_row(const uint8_t *p, struct ig_steps k, int r) { return ig_broadcast(p + r * k.one); }

#define IG_TRANSPOSE(x0, x1, x2, x3, z0, z1, z2, z3)                                            \
    do {                                                                                        \
        const ig_v low01 = _mm256_unpacklo_epi8(x0, x1), high01 = _mm256_unpackhi_epi8(x0, x1); \
        const ig_v low23 = _mm256_unpacklo_epi8(x2, x3), high23 = _mm256_unpackhi_epi8(x2, x3); \
        z0 = _mm256_unpacklo_epi16(low01, low23);                                               \
        z1 = _mm256_unpackhi_epi16(low01, low23);                                               \
        z2 = _mm256_unpacklo_epi16(high01, high23);                                             \
        z3 = _mm256_unpackhi_epi16(high01, high23);                                             \
    } while (0)

#if IG_VNNI_
#define IG_DOT(acc, x, w) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w))
#define IG_DOT_MEMORY(acc, x, w) \
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "m"(*(const __m256i_u *)(w)))
#else
/* Even and odd bytes as 16-bit numbers: vpmaddubsw would saturate, these products and their sums of two cannot. */
IG_INLINE ig_v ig_dot(ig_v acc, ig_v x, ig_v w)
{
    const ig_v even =
        _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
    const ig_v odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(w, 8));
    return _mm256_add_epi32(_mm256_add_epi32(acc, even), odd);
}
#define IG_DOT(acc, x, w) (acc) = ig_dot(acc, x, w)
#define IG_DOT_MEMORY(acc, x, w) (acc) = ig_dot(acc, x, ig_load(w))

/* The same product of signed bytes x: their magnitudes and a mask of the negative ones. There, w ^ mask is -w - 1, so
 * that what the caller takes off at the end is the product with w = 0, one number for all lanes of all w. The sums of
 * two products lie in [-2 * 128 * 128, 2 * 128 * 127] and fit the 16 bits of vpmaddubsw.
 */
IG_INLINE ig_v ig_magnitude(ig_v x) { return _mm256_abs_epi8(x); }
IG_INLINE ig_v ig_negative(ig_v x) { return _mm256_cmpgt_epi8(_mm256_setzero_si256(), x); }
/* In assembly, as gcc would move the first instruction of all products before the others and run out of registers.
 * w lies in memory.
 */
#define IG_DOT_SIGNS(acc, magnitude, negative, w)                                                          \
    do {                                                                                                   \
        ig_v product;                                                                                      \
        __asm__("vpxor %4, %3, %1\n\tvpmaddubsw %1, %2, %1\n\tvpmaddwd %5, %1, %1\n\tvpaddd %1, %0, %0"    \
                : "+x"(acc), "=&x"(product)                                                                \
                : "x"(magnitude), "x"(negative), "m"(*(const __m256i_u *)(w)), "x"(_mm256_set1_epi16(1))); \
    } while (0)
IG_INLINE ig_v ig_dot_signs(ig_v acc, ig_v magnitude, ig_v negative, ig_v w)
{
    const ig_v pairs = _mm256_maddubs_epi16(magnitude, _mm256_xor_si256(w, negative));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

#if IG_VNNI_
#define IG_DOT16(acc, x, w) __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w))
#else
#define IG_DOT16(acc, x, w) (acc) = _mm256_add_epi32(acc, _mm256_madd_epi16(x, w))
#endif
#define ig_broadcast_pair_row ig_broadcast_row
#define IG_PAIRS(x0, x1, z0, z1)            \
    do {                                    \
        z0 = _mm256_unpacklo_epi16(x0, x1); \
        z1 = _mm256_unpackhi_epi16(x0, x1); \
    } while (0)
#define IG_RAISE(x, z0, z1) IG_PAIRS(ig_splat(0), x, z0, z1)

#define IG_FACTORS_fast 4
struct ig_factor_fast {
    ig_v even, odd, add, shift;
};
IG_INLINE struct ig_factor_fast ig_load_factor_fast(const int32_t *f)
{
    return (struct ig_factor_fast){ig_load(f), ig_load(f + 8), ig_load(f + 16), ig_load(f + 24)};
}
/* The upper halves of the products of even lanes and of odd ones, in order. */
IG_INLINE ig_v ig_upper(ig_v low, ig_v high) { return _mm256_blend_epi32(_mm256_shuffle_epi32(low, 0xF5), high, 0xAA); }
IG_INLINE ig_v ig_requantize_fast(ig_v acc, struct ig_factor_fast f)
{
    const ig_v low = _mm256_mul_epi32(acc, f.even);
    const ig_v high = _mm256_mul_epi32(_mm256_srli_epi64(acc, 32), f.odd);
    return _mm256_srav_epi32(_mm256_add_epi32(ig_upper(low, high), f.add), f.shift);
}

/* left: fast for smaller shifts, where the accumulators leave room to be shifted to the left first. */
#define IG_FACTORS_left 5
struct ig_factor_left {
    struct ig_factor_fast fast;
    ig_v left;
};
IG_INLINE struct ig_factor_left ig_load_factor_left(const int32_t *f)
{
    return (struct ig_factor_left){ig_load_factor_fast(f), ig_load(f + 32)};
}
IG_INLINE ig_v ig_requantize_left(ig_v acc, struct ig_factor_left f)
{
    return ig_requantize_fast(_mm256_sllv_epi32(acc, f.left), f.fast);
}

#define IG_FACTORS_tflite 6
struct ig_factor_tflite {
    ig_v even, odd, mask, half, shift, zero_point;
};
IG_INLINE struct ig_factor_tflite ig_load_factor_tflite(const int32_t *f)
{
    return (struct ig_factor_tflite){ig_load(f),      ig_load(f + 8),  ig_load(f + 16),
                                     ig_load(f + 24), ig_load(f + 32), ig_load(f + 40)};
}
IG_INLINE ig_v ig_requantize_tflite(ig_v acc, struct ig_factor_tflite f)
{
    const ig_v nudge = _mm256_set1_epi64x(1 << 30);
    const ig_v low = _mm256_slli_epi64(_mm256_add_epi64(_mm256_mul_epi32(acc, f.even), nudge), 1);
    const ig_v high =
        _mm256_slli_epi64(_mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(acc, 32), f.odd), nudge), 1);
    const ig_v x = ig_upper(low, high);
    const ig_v threshold = _mm256_sub_epi32(f.half, _mm256_srai_epi32(x, 31));
    const ig_v up = _mm256_cmpgt_epi32(_mm256_and_si256(x, f.mask), threshold); /* -1 where it rounds up */
    return _mm256_sub_epi32(_mm256_add_epi32(_mm256_srav_epi32(x, f.shift), f.zero_point), up);
}

#define IG_FACTORS_shift 3
struct ig_factor_shift {
    ig_v shift, less, zero_point;
};
IG_INLINE struct ig_factor_shift ig_load_factor_shift(const int32_t *f)
{
    return (struct ig_factor_shift){ig_load(f), ig_load(f + 8), ig_load(f + 16)};
}
IG_INLINE ig_v ig_requantize_shift(ig_v acc, struct ig_factor_shift f)
{
    const ig_v half = _mm256_and_si256(_mm256_srav_epi32(acc, f.less), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(_mm256_srav_epi32(acc, f.shift), half), f.zero_point);
}

#define IG_FACTORS_even 3
struct ig_factor_even {
    ig_v shift, less, zero_point;
};
IG_INLINE struct ig_factor_even ig_load_factor_even(const int32_t *f)
{
    return (struct ig_factor_even){ig_load(f), ig_load(f + 8), ig_load(f + 16)};
}
IG_INLINE ig_v ig_requantize_even(ig_v acc, struct ig_factor_even f)
{
    const ig_v odd = _mm256_and_si256(_mm256_srav_epi32(acc, f.shift), _mm256_set1_epi32(1));
    const ig_v total = _mm256_add_epi32(_mm256_add_epi32(acc, f.less), odd);
    return _mm256_add_epi32(_mm256_srav_epi32(total, f.shift), f.zero_point);
}

struct ig_bounds {
    __m256i low, high;
};
IG_INLINE struct ig_bounds ig_bounds(int32_t low, int32_t high)
{
    return (struct ig_bounds){_mm256_set1_epi8((char)low), _mm256_set1_epi8((char)high)};
}
IG_INLINE ig_v ig_max_u8(ig_v a, ig_v b) { return _mm256_max_epu8(a, b); }
IG_INLINE ig_v ig_max_s8(ig_v a, ig_v b) { return _mm256_max_epi8(a, b); }
IG_INLINE ig_v ig_min_u8(ig_v a, ig_v b) { return _mm256_min_epu8(a, b); }
IG_INLINE ig_v ig_min_s8(ig_v a, ig_v b) { return _mm256_min_epi8(a, b); }
IG_INLINE ig_v ig_clamp_u8(ig_v v, struct ig_bounds k) { return _mm256_min_epu8(_mm256_max_epu8(v, k.low), k.high); }
IG_INLINE ig_v ig_clamp_s8(ig_v v, struct ig_bounds k) { return _mm256_min_epi8(_mm256_max_epi8(v, k.low), k.high); }
IG_INLINE struct ig_bounds ig_bounds_s16(int32_t low, int32_t high)
{
    return (struct ig_bounds){_mm256_set1_epi16((short)low), _mm256_set1_epi16((short)high)};
}
IG_INLINE ig_v ig_max_s16(ig_v a, ig_v b) { return _mm256_max_epi16(a, b); }
IG_INLINE ig_v ig_clamp_s16(ig_v v, struct ig_bounds k) { return _mm256_min_epi16(_mm256_max_epi16(v, k.low), k.high); }

/* Bytes of b where the top bit of the mask's byte is set, else of a. With -funsigned-char, gcc takes the bytes of its
 * own intrinsic for unsigned ones, finds none below 0, and returns a.
 */
IG_INLINE ig_v ig_choose(ig_v a, ig_v b, ig_v mask)
{
#if defined(__CHAR_UNSIGNED__) && !defined(__clang__)
    ig_v chosen;
    __asm__("vpblendvb %3, %2, %1, %0" : "=x"(chosen) : "x"(a), "x"(b), "x"(mask));
    return chosen;
#else
    return _mm256_blendv_epi8(a, b, mask);
#endif
}

struct ig_table {
    ig_v part[16];
};
IG_INLINE struct ig_table ig_table(const uint8_t *p)
{
    struct ig_table t;
    for (int i = 0; i < 16; i++)
        t.part[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p + 16 * i)));
    return t;
}
IG_INLINE ig_v ig_look_up(const struct ig_table *t, ig_v v)
{
    const ig_v at = _mm256_and_si256(v, _mm256_set1_epi8(15));
    const ig_v bit4 = _mm256_slli_epi16(v, 3), bit5 = _mm256_slli_epi16(v, 2), bit6 = _mm256_slli_epi16(v, 1);
    ig_v found[8];
    for (int i = 0; i < 8; i++)
        found[i] =
            ig_choose(_mm256_shuffle_epi8(t->part[2 * i], at), _mm256_shuffle_epi8(t->part[2 * i + 1], at), bit4);
    for (int i = 0; i < 4; i++)
        found[i] = ig_choose(found[2 * i], found[2 * i + 1], bit5);
    for (int i = 0; i < 2; i++)
        found[i] = ig_choose(found[2 * i], found[2 * i + 1], bit6);
    return ig_choose(found[0], found[1], v);
}

IG_INLINE ig_v ig_pack_u8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    (void)k;
    return _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
}
IG_INLINE ig_v ig_pack_s8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    (void)k;
    return _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
}
IG_INLINE ig_v ig_pack_clamped_u8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    return ig_clamp_u8(ig_pack_u8(a, b, c, d, k), k);
}
IG_INLINE ig_v ig_pack_clamped_s8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    return ig_clamp_s8(ig_pack_s8(a, b, c, d, k), k);
}

/* The first n lanes: all bits set. */
IG_INLINE ig_v ig_first(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
/* The first n bytes; nothing behind them is touched. */
IG_INLINE void ig_store_bytes(void *p, ig_v v, int32_t n)
{
    if (n >= 32) {
        ig_store(p, v);
    } else if (n > 0 && n % 4 == 0) {
        _mm256_maskstore_epi32((int *)p, ig_first(n / 4), v);
    } else if (n > 0) {
        uint8_t bytes[32];
        ig_store(bytes, v);
        memcpy(p, bytes, (size_t)n);
    }
}
IG_INLINE ig_v ig_load_bytes(const void *p, int32_t n)
{
    uint8_t bytes[32] = {0};
    if (n >= 32)
        return ig_load(p);
    if (n % 4 == 0)
        return _mm256_maskload_epi32((const int *)p, ig_first(n / 4));
    memcpy(bytes, p, (size_t)n);
    return ig_load(bytes);
}
IG_INLINE ig_v ig_load_bytes2(const uint8_t *p, ptrdiff_t step, int32_t n)
{
    uint8_t bytes[32] = {0};
    if (n >= 16)
        return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                       _mm_loadu_si128((const __m128i *)(p + step)), 1);
    if (n == 8)
        return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)p)),
                                       _mm_loadl_epi64((const __m128i *)(p + step)), 1);
    memcpy(bytes, p, (size_t)n);
    memcpy(bytes + 16, p + step, (size_t)n);
    return ig_load(bytes);
}
IG_INLINE void ig_store_bytes2(uint8_t *p, ig_v v, ptrdiff_t step, int32_t n)
{
    uint8_t bytes[32];
    if (n == 8) {
        _mm_storel_epi64((__m128i *)p, _mm256_castsi256_si128(v));
        _mm_storel_epi64((__m128i *)(p + step), _mm256_extracti128_si256(v, 1));
        return;
    }
    ig_store(bytes, v);
    memcpy(p, bytes, (size_t)n);
    memcpy(p + step, bytes + 16, (size_t)n);
}

IG_INLINE ig_v ig_front2(ig_v v) { return _mm256_permute4x64_epi64(v, 8); }
IG_INLINE ig_v ig_front1(ig_v v) { return _mm256_permutevar8x32_epi32(v, _mm256_set_epi32(0, 0, 0, 0, 0, 0, 4, 0)); }
#define IG_STORE_4(pack, p, a, b, c, d, k, n) ig_store_bytes(p, pack(a, b, c, d, k), n)
#define IG_STORE_2(pack, p, a, b, k, n) ig_store_bytes(p, ig_front2(pack(a, b, a, b, k)), (n) < 16 ? (n) : 16)
#define IG_STORE_1(pack, p, a, k, n) ig_store_bytes(p, ig_front1(pack(a, a, a, a, k)), (n) < 8 ? (n) : 8)
#define IG_STORE_FULL_4(pack, p, a, b, c, d, k, n) ig_store(p, pack(a, b, c, d, k))
#define IG_STORE_FULL_2(pack, p, a, b, k, n) \
    _mm_storeu_si128((__m128i *)(p), _mm256_castsi256_si128(ig_front2(pack(a, b, a, b, k))))
#define IG_STORE_FULL_1(pack, p, a, k, n) \
    _mm_storel_epi64((__m128i *)(p), _mm256_castsi256_si128(ig_front1(pack(a, a, a, a, k))))

IG_INLINE void ig_store_s16(void *p, ig_v v, int32_t low, int32_t high, int32_t n)
{
    const ig_v clamped = _mm256_min_epi32(_mm256_max_epi32(v, _mm256_set1_epi32(low)), _mm256_set1_epi32(high));
    const ig_v words = _mm256_permute4x64_epi64(_mm256_packs_epi32(clamped, clamped), 8);
    if (n >= 8) {
        _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(words));
    } else if (n > 0) {
        uint8_t bytes[32];
        ig_store(bytes, words);
        memcpy(p, bytes, 2 * (size_t)n);
    }
}

IG_INLINE ig_v ig_pack_s16(ig_v a, ig_v b, int32_t low, int32_t high)
{
    const ig_v least = _mm256_set1_epi16((short)low), most = _mm256_set1_epi16((short)high);
    return _mm256_min_epi16(_mm256_max_epi16(_mm256_packs_epi32(a, b), least), most);
}

/* 16-bit numbers as lanes: n of them where fewer than a vector remain. */
IG_INLINE ig_v ig_load_s16(const int16_t *p, int32_t n)
{
    int16_t words[8] = {0};
    if (n >= 8)
        return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p));
    memcpy(words, p, 2 * (size_t)n);
    return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)words));
}

/* `ig_read_knots`: a knot and the next one are the halves of a lane, weighted by 64 - r and r. The loads are scalar:
 * the gather instruction takes more than twice as long on some processors.
 */
IG_INLINE int32_t ig_two_knots(const int16_t *table, uint64_t at)
{
    int32_t both;
    memcpy(&both, table + at, 4);
    return both;
}
IG_INLINE __m128i ig_four_knots(const int16_t *table, uint64_t at01, uint64_t at23)
{
    __m128i v = _mm_cvtsi32_si128(ig_two_knots(table, (uint32_t)at01));
    v = _mm_insert_epi32(v, ig_two_knots(table, at01 >> 32), 1);
    v = _mm_insert_epi32(v, ig_two_knots(table, (uint32_t)at23), 2);
    return _mm_insert_epi32(v, ig_two_knots(table, at23 >> 32), 3);
}
IG_INLINE ig_v ig_knots(const int16_t *table, ig_v code)
{
    const ig_v offset = _mm256_add_epi32(code, _mm256_set1_epi32(32768)), at = _mm256_srli_epi32(offset, 6);
    const ig_v r = _mm256_and_si256(offset, _mm256_set1_epi32(63));
    const __m128i low =
        ig_four_knots(table, (uint64_t)_mm256_extract_epi64(at, 0), (uint64_t)_mm256_extract_epi64(at, 1));
    const __m128i high =
        ig_four_knots(table, (uint64_t)_mm256_extract_epi64(at, 2), (uint64_t)_mm256_extract_epi64(at, 3));
    const ig_v pairs = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    const ig_v shares = _mm256_add_epi32(_mm256_set1_epi32(64), _mm256_sub_epi32(_mm256_slli_epi32(r, 16), r));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_madd_epi16(pairs, shares), _mm256_set1_epi32(32)), 6);
}

#endif
