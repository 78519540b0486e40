/* AVX-512 in the terms that the vector kernels are written in.
 *
 * A vector is 16 lanes of 32 bits. Four of them, packed to bytes, come out in this order: byte 16 L + 4 b + e is lane
 * 4 L + e of vector b (L below 4). Weights, biases and factors are stored in the matching order, so that no
 * permutation is left at run time.
 * avx512vnni.h sets IG_VNNI_ where the processor has more.
 */
#ifndef IG_AVX512_H
#define IG_AVX512_H

#ifndef IG_VNNI_
#define IG_VNNI_ 0
#endif

#include "common/requantize.h"
#include "isa/repeat.h"

#include <immintrin.h>

#define IG_LANES 16
#define IG_INLINE static inline __attribute__((always_inline, unused))
typedef __m512i ig_v;

IG_INLINE ig_v ig_load(const void *p) { return _mm512_loadu_si512(p); }
IG_INLINE void ig_store(void *p, ig_v v) { _mm512_storeu_si512(p, v); }
IG_INLINE ig_v ig_splat(int32_t v) { return _mm512_set1_epi32(v); }
IG_INLINE ig_v ig_plus(ig_v a, ig_v b) { return _mm512_add_epi32(a, b); }
IG_INLINE ig_v ig_subtract(ig_v a, ig_v b) { return _mm512_sub_epi32(a, b); }
IG_INLINE ig_v ig_multiply(ig_v a, ig_v b) { return _mm512_mullo_epi32(a, b); }
#define ig_shift_left(v, bits) _mm512_slli_epi32(v, bits)
#define ig_shift_right(v, bits) _mm512_srai_epi32(v, bits)
IG_INLINE ig_v ig_shift_right_by(ig_v v, int32_t bits) { return _mm512_sra_epi32(v, _mm_cvtsi32_si128(bits)); }
IG_INLINE ig_v ig_clamp_s32(ig_v v, int32_t low, int32_t high)
{
    return _mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
}
IG_INLINE ig_v ig_sub_product(ig_v a, ig_v b, ig_v c) { return _mm512_sub_epi32(a, _mm512_mullo_epi32(b, c)); }

/* Columns of bytes to lanes of four neighbours: lane 4 L + e of vector b holds the bytes 16 L + 4 b + e of x0 to x3. */
#define IG_TRANSPOSE(x0, x1, x2, x3, z0, z1, z2, z3)                                            \
    do {                                                                                        \
        const ig_v low01 = _mm512_unpacklo_epi8(x0, x1), high01 = _mm512_unpackhi_epi8(x0, x1); \
        const ig_v low23 = _mm512_unpacklo_epi8(x2, x3), high23 = _mm512_unpackhi_epi8(x2, x3); \
        z0 = _mm512_unpacklo_epi16(low01, low23);                                               \
        z1 = _mm512_unpackhi_epi16(low01, low23);                                               \
        z2 = _mm512_unpacklo_epi16(high01, high23);                                             \
        z3 = _mm512_unpackhi_epi16(high01, high23);                                             \
    } while (0)

/* Four bytes in every lane: at p, and at p + r step. Row r of a tile is reached with few registers, which gcc does not
 * find by itself: the odd multiples of the step are kept, and the addressing mode makes the even ones. The
 * memory operand says that anything behind p may be read.
 */
IG_INLINE ig_v ig_broadcast(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}

struct ig_steps {
    ptrdiff_t one, three, five, seven, nine, eleven, thirteen, fifteen;
};
IG_INLINE struct ig_steps ig_steps(ptrdiff_t step)
{
    return (struct ig_steps){step, 3 * step, 5 * step, 7 * step, 9 * step, 11 * step, 13 * step, 15 * step};
}
#define IG_AT_(v, p, multiple, scale)               \
    __asm__("vpbroadcastd (%1, %2, " #scale "), %0" \
            : "=v"(v)                               \
            : "r"(p), "r"(multiple), "m"(*(const uint8_t (*)[1 << 24])(p)))
IG_INLINE ig_v ig_broadcast_row(const uint8_t *p, struct ig_steps k, int r)
{
    ig_v v;
    switch (r) {
    case 0: return ig_broadcast(p);
    case 1: IG_AT_(v, p, k.one, 1); break;
    case 2: IG_AT_(v, p, k.one, 2); break;
    case 3: IG_AT_(v, p, k.three, 1); break;
    case 4: IG_AT_(v, p, k.one, 4); break;
    case 5: IG_AT_(v, p, k.five, 1); break;
    case 6: IG_AT_(v, p, k.three, 2); break;
    case 7: IG_AT_(v, p, k.seven, 1); break;
    case 8: IG_AT_(v, p, k.one, 8); break;
    case 9: IG_AT_(v, p, k.nine, 1); break;
    case 10: IG_AT_(v, p, k.five, 2); break;
    case 11: IG_AT_(v, p, k.eleven, 1); break;
    case 12: IG_AT_(v, p, k.three, 4); break;
    case 13: IG_AT_(v, p, k.thirteen, 1); break;
    case 14: IG_AT_(v, p, k.seven, 2); break;
    default: IG_AT_(v, p, k.fifteen, 1); break;
    }
    return v;
}

IG_INLINE ig_v ig_flip(ig_v v) { return _mm512_xor_si512(v, _mm512_set1_epi8(-128)); }

/* acc + the sum of four products of unsigned by signed bytes, in every lane; it wraps. */
#if IG_VNNI_
/* Assembly, because gcc copies and spills the accumulators of the intrinsic in long loops. */
#define IG_DOT(acc, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w))
#define IG_DOT_MEMORY(acc, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "m"(*(const ig_v *)(w)))
#else
/* Even and odd bytes as 16-bit numbers: no product of theirs saturates, and two of them fit 32 bits. */
IG_INLINE ig_v ig_dot(ig_v acc, ig_v x, ig_v w)
{
    const ig_v even =
        _mm512_madd_epi16(_mm512_and_si512(x, _mm512_set1_epi16(255)), _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8));
    const ig_v odd = _mm512_madd_epi16(_mm512_srli_epi16(x, 8), _mm512_srai_epi16(w, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
}
#define IG_DOT(acc, x, w) (acc) = ig_dot(acc, x, w)
#define IG_DOT_MEMORY(acc, x, w) (acc) = ig_dot(acc, x, ig_load(w))

/* The same product of signed bytes x: their magnitudes and a mask of the negative ones. There, w ^ mask is -w - 1, so
 * that what the caller takes off at the end is the product with w = 0, one number for all lanes of all w. The sums of
 * two products lie in [-2 * 128 * 128, 2 * 128 * 127] and fit the 16 bits of vpmaddubsw.
 */
IG_INLINE ig_v ig_magnitude(ig_v x) { return _mm512_abs_epi8(x); }
IG_INLINE ig_v ig_negative(ig_v x) { return _mm512_movm_epi8(_mm512_movepi8_mask(x)); }
IG_INLINE ig_v ig_dot_signs(ig_v acc, ig_v magnitude, ig_v negative, ig_v w)
{
    const ig_v pairs = _mm512_maddubs_epi16(magnitude, _mm512_xor_si512(w, negative));
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
#define IG_DOT_SIGNS(acc, magnitude, negative, w) (acc) = ig_dot_signs(acc, magnitude, negative, ig_load(w))
#endif

/* acc + the sum of two products of signed 16-bit numbers, in every lane; it wraps. */
#if IG_VNNI_
#define IG_DOT16(acc, x, w) __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w))
#else
#define IG_DOT16(acc, x, w) (acc) = _mm512_add_epi32(acc, _mm512_madd_epi16(x, w))
#endif
/* Two 16-bit numbers in every lane at p + r step; and the numbers of two vectors as pairs: lane 4 L + e of vector b
 * holds the numbers 8 L + 4 b + e of x0 and x1. What w holds beside them is in the same order, see `Vector.planar`.
 */
#define ig_broadcast_pair_row ig_broadcast_row
#define IG_PAIRS(x0, x1, z0, z1)            \
    do {                                    \
        z0 = _mm512_unpacklo_epi16(x0, x1); \
        z1 = _mm512_unpackhi_epi16(x0, x1); \
    } while (0)
/* 16-bit numbers in the upper halves of lanes, zeros below them, in the order of IG_PAIRS. */
#define IG_RAISE(x, z0, z1) IG_PAIRS(ig_splat(0), x, z0, z1)

/* Requantization in five forms; a form's record holds that many vectors a vector of channels, zero point included.
 *
 * fast: half_up for shifts of 2 and more; multipliers, those of the odd lanes moved down, an addend, and shift - 1:
 *     z_y + ((acc m + 2^(30 + shift)) >> (31 + shift))
 *         = ((acc m >> 32) + 2^(shift - 2) + z_y 2^(shift - 1)) >> (shift - 1)
 */
#define IG_FACTORS_fast 4
struct ig_factor_fast {
    ig_v even, odd, add, shift;
};
IG_INLINE struct ig_factor_fast ig_load_factor_fast(const int32_t *f)
{
    return (struct ig_factor_fast){ig_load(f), ig_load(f + 16), ig_load(f + 32), ig_load(f + 48)};
}
IG_INLINE ig_v ig_requantize_fast(ig_v acc, struct ig_factor_fast f)
{
    const ig_v low = _mm512_mul_epi32(acc, f.even);
    const ig_v high = _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), f.odd);
    const ig_v top = _mm512_mask_shuffle_epi32(high, 0x5555, low, (_MM_PERM_ENUM)0xF5);
    return _mm512_srav_epi32(_mm512_add_epi32(top, f.add), f.shift);
}

/* left: fast for smaller shifts, where the accumulators leave room to be shifted to the left first. */
#define IG_FACTORS_left 5
struct ig_factor_left {
    struct ig_factor_fast fast;
    ig_v left;
};
IG_INLINE struct ig_factor_left ig_load_factor_left(const int32_t *f)
{
    return (struct ig_factor_left){ig_load_factor_fast(f), ig_load(f + 64)};
}
IG_INLINE ig_v ig_requantize_left(ig_v acc, struct ig_factor_left f)
{
    return ig_requantize_fast(_mm512_sllv_epi32(acc, f.left), f.fast);
}

/* half_up: any shift; the same two multipliers, then addend 2^(30 + shift) and shift 31 + shift of even and odd lanes
 * in 64 bits each, and the zero point. What leaves 24 bits is clamped later anyway.
 */
#define IG_FACTORS_half_up 7
struct ig_factor_half_up {
    ig_v even, odd, add_even, add_odd, shift_even, shift_odd, zero_point;
};
IG_INLINE struct ig_factor_half_up ig_load_factor_half_up(const int32_t *f)
{
    return (struct ig_factor_half_up){ig_load(f),      ig_load(f + 16), ig_load(f + 32), ig_load(f + 48),
                                      ig_load(f + 64), ig_load(f + 80), ig_load(f + 96)};
}
IG_INLINE ig_v ig_requantize_half_up(ig_v acc, struct ig_factor_half_up f)
{
    const ig_v most = _mm512_set1_epi64(1 << 24), least = _mm512_set1_epi64(-(1 << 24));
    ig_v low = _mm512_mul_epi32(acc, f.even), high = _mm512_mul_epi32(_mm512_srli_epi64(acc, 32), f.odd);
    low = _mm512_srav_epi64(_mm512_add_epi64(low, f.add_even), f.shift_even);
    high = _mm512_srav_epi64(_mm512_add_epi64(high, f.add_odd), f.shift_odd);
    low = _mm512_max_epi64(_mm512_min_epi64(low, most), least);
    high = _mm512_max_epi64(_mm512_min_epi64(high, most), least);
    return _mm512_add_epi32(_mm512_mask_blend_epi32(0xAAAA, low, _mm512_slli_epi64(high, 32)), f.zero_point);
}

/* tflite for shifts of 0 and more: multipliers, 2^shift - 1, half of that, shift, zero point. */
#define IG_FACTORS_tflite 6
struct ig_factor_tflite {
    ig_v even, odd, mask, half, shift, zero_point;
};
IG_INLINE struct ig_factor_tflite ig_load_factor_tflite(const int32_t *f)
{
    return (struct ig_factor_tflite){ig_load(f),      ig_load(f + 16), ig_load(f + 32),
                                     ig_load(f + 48), ig_load(f + 64), ig_load(f + 80)};
}
IG_INLINE ig_v ig_requantize_tflite(ig_v acc, struct ig_factor_tflite f)
{
    const ig_v nudge = _mm512_set1_epi64(1 << 30);
    const ig_v low = _mm512_slli_epi64(_mm512_add_epi64(_mm512_mul_epi32(acc, f.even), nudge), 1);
    const ig_v high =
        _mm512_slli_epi64(_mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(acc, 32), f.odd), nudge), 1);
    const ig_v x = _mm512_mask_shuffle_epi32(high, 0x5555, low, (_MM_PERM_ENUM)0xF5);
    const ig_v threshold = _mm512_sub_epi32(f.half, _mm512_srai_epi32(x, 31));
    const __mmask16 up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(x, f.mask), threshold);
    const ig_v y = _mm512_add_epi32(_mm512_srav_epi32(x, f.shift), f.zero_point);
    return _mm512_mask_add_epi32(y, up, y, _mm512_set1_epi32(1));
}

/* shift, for shifts of 1 and more: shift, shift - 1, zero point. The half is the last bit shifted out. */
#define IG_FACTORS_shift 3
struct ig_factor_shift {
    ig_v shift, less, zero_point;
};
IG_INLINE struct ig_factor_shift ig_load_factor_shift(const int32_t *f)
{
    return (struct ig_factor_shift){ig_load(f), ig_load(f + 16), ig_load(f + 32)};
}
IG_INLINE ig_v ig_requantize_shift(ig_v acc, struct ig_factor_shift f)
{
    const ig_v half = _mm512_and_si512(_mm512_srav_epi32(acc, f.less), _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_add_epi32(_mm512_srav_epi32(acc, f.shift), half), f.zero_point);
}

/* even, for powers of two: shift, half - 1, zero point. What lies halfway goes up where the bit before it is set. */
#define IG_FACTORS_even 3
struct ig_factor_even {
    ig_v shift, less, zero_point;
};
IG_INLINE struct ig_factor_even ig_load_factor_even(const int32_t *f)
{
    return (struct ig_factor_even){ig_load(f), ig_load(f + 16), ig_load(f + 32)};
}
IG_INLINE ig_v ig_requantize_even(ig_v acc, struct ig_factor_even f)
{
    const ig_v odd = _mm512_and_si512(_mm512_srav_epi32(acc, f.shift), _mm512_set1_epi32(1));
    const ig_v total = _mm512_add_epi32(_mm512_add_epi32(acc, f.less), odd);
    return _mm512_add_epi32(_mm512_srav_epi32(total, f.shift), f.zero_point);
}

/* Bounds of the output codes, in every byte. */
struct ig_bounds {
    __m512i low, high;
};
IG_INLINE struct ig_bounds ig_bounds(int32_t low, int32_t high)
{
    return (struct ig_bounds){_mm512_set1_epi8((char)low), _mm512_set1_epi8((char)high)};
}

IG_INLINE ig_v ig_max_u8(ig_v a, ig_v b) { return _mm512_max_epu8(a, b); }
IG_INLINE ig_v ig_max_s8(ig_v a, ig_v b) { return _mm512_max_epi8(a, b); }
IG_INLINE ig_v ig_min_u8(ig_v a, ig_v b) { return _mm512_min_epu8(a, b); }
IG_INLINE ig_v ig_min_s8(ig_v a, ig_v b) { return _mm512_min_epi8(a, b); }
IG_INLINE ig_v ig_clamp_u8(ig_v v, struct ig_bounds k) { return _mm512_min_epu8(_mm512_max_epu8(v, k.low), k.high); }
IG_INLINE ig_v ig_clamp_s8(ig_v v, struct ig_bounds k) { return _mm512_min_epi8(_mm512_max_epi8(v, k.low), k.high); }
IG_INLINE struct ig_bounds ig_bounds_s16(int32_t low, int32_t high)
{
    return (struct ig_bounds){_mm512_set1_epi16((short)low), _mm512_set1_epi16((short)high)};
}
IG_INLINE ig_v ig_max_s16(ig_v a, ig_v b) { return _mm512_max_epi16(a, b); }
IG_INLINE ig_v ig_clamp_s16(ig_v v, struct ig_bounds k) { return _mm512_min_epi16(_mm512_max_epi16(v, k.low), k.high); }

/* A table of 256 bytes, and its entries at the bytes of v. Tables of 16 are looked up by the lower four bits, and the
 * upper ones choose between the results two by two.
 */
struct ig_table {
    ig_v part[16];
};
IG_INLINE struct ig_table ig_table(const uint8_t *p)
{
    struct ig_table t;
    for (int i = 0; i < 16; i++)
        t.part[i] = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(p + 16 * i)));
    return t;
}
IG_INLINE ig_v ig_look_up(const struct ig_table *t, ig_v v)
{
    const ig_v at = _mm512_and_si512(v, _mm512_set1_epi8(15));
    const __mmask64 bit4 = _mm512_movepi8_mask(_mm512_slli_epi16(v, 3)),
                    bit5 = _mm512_movepi8_mask(_mm512_slli_epi16(v, 2)),
                    bit6 = _mm512_movepi8_mask(_mm512_slli_epi16(v, 1)), bit7 = _mm512_movepi8_mask(v);
    ig_v found[8];
    for (int i = 0; i < 8; i++)
        found[i] = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(t->part[2 * i], at), bit4, t->part[2 * i + 1], at);
    for (int i = 0; i < 4; i++)
        found[i] = _mm512_mask_blend_epi8(bit5, found[2 * i], found[2 * i + 1]);
    for (int i = 0; i < 2; i++)
        found[i] = _mm512_mask_blend_epi8(bit6, found[2 * i], found[2 * i + 1]);
    return _mm512_mask_blend_epi8(bit7, found[0], found[1]);
}

/* Four vectors as bytes, saturated to 16 bits and to 8; `clamped` to bounds other than the type's own. */
IG_INLINE ig_v ig_pack_u8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    (void)k;
    return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}
IG_INLINE ig_v ig_pack_s8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    (void)k;
    return _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}
IG_INLINE ig_v ig_pack_clamped_u8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    return ig_clamp_u8(ig_pack_u8(a, b, c, d, k), k);
}
IG_INLINE ig_v ig_pack_clamped_s8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    return ig_clamp_s8(ig_pack_s8(a, b, c, d, k), k);
}

/* The first n bytes. */
IG_INLINE void ig_store_bytes(void *p, ig_v v, int32_t n)
{
    if (n >= 64)
        _mm512_storeu_si512(p, v);
    else if (n > 0)
        _mm512_mask_storeu_epi8(p, _bzhi_u64(~UINT64_C(0), (uint32_t)n), v);
}

/* The first n bytes, zeros behind them; nothing behind them is touched. */
IG_INLINE ig_v ig_load_bytes(const void *p, int32_t n)
{
    return n >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(_bzhi_u64(~UINT64_C(0), (uint32_t)n), p);
}

/* The same from and to 2 or 4 places that are `step` apart, a half or a quarter of the vector each. */
IG_INLINE ig_v ig_load_bytes2(const uint8_t *p, ptrdiff_t step, int32_t n)
{
    const __mmask32 m = _bzhi_u32(~UINT32_C(0), (uint32_t)n);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi8(m, p)),
                              _mm256_maskz_loadu_epi8(m, p + step), 1);
}
IG_INLINE ig_v ig_load_bytes4(const uint8_t *p, ptrdiff_t step, int32_t n)
{
    const __mmask16 m = (__mmask16)_bzhi_u32(0xffff, (uint32_t)n);
    ig_v v = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(m, p));
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(m, p + step), 1);
    v = _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(m, p + 2 * step), 2);
    return _mm512_inserti32x4(v, _mm_maskz_loadu_epi8(m, p + 3 * step), 3);
}
IG_INLINE void ig_store_bytes2(uint8_t *p, ig_v v, ptrdiff_t step, int32_t n)
{
    const __mmask32 m = _bzhi_u32(~UINT32_C(0), (uint32_t)n);
    _mm256_mask_storeu_epi8(p, m, _mm512_castsi512_si256(v));
    _mm256_mask_storeu_epi8(p + step, m, _mm512_extracti64x4_epi64(v, 1));
}
IG_INLINE void ig_store_bytes4(uint8_t *p, ig_v v, ptrdiff_t step, int32_t n)
{
    const __mmask16 m = (__mmask16)_bzhi_u32(0xffff, (uint32_t)n);
    _mm_mask_storeu_epi8(p, m, _mm512_castsi512_si128(v));
    _mm_mask_storeu_epi8(p + step, m, _mm512_extracti32x4_epi32(v, 1));
    _mm_mask_storeu_epi8(p + 2 * step, m, _mm512_extracti32x4_epi32(v, 2));
    _mm_mask_storeu_epi8(p + 3 * step, m, _mm512_extracti32x4_epi32(v, 3));
}

/* Bytes of a group of two vectors, or of one, to the front. */
IG_INLINE ig_v ig_front2(ig_v v) { return _mm512_permutexvar_epi64(_mm512_set_epi64(0, 0, 0, 0, 6, 4, 2, 0), v); }
IG_INLINE ig_v ig_front1(ig_v v)
{
    return _mm512_permutexvar_epi32(_mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0), v);
}

/* Codes of a group of 4, 2 or 1 vectors; pack is one of the above. Of a FULL group all are stored, else n. */
#define IG_STORE_4(pack, p, a, b, c, d, k, n) ig_store_bytes(p, pack(a, b, c, d, k), n)
#define IG_STORE_2(pack, p, a, b, k, n) ig_store_bytes(p, ig_front2(pack(a, b, a, b, k)), (n) < 32 ? (n) : 32)
#define IG_STORE_1(pack, p, a, k, n) ig_store_bytes(p, ig_front1(pack(a, a, a, a, k)), (n) < 16 ? (n) : 16)
#define IG_STORE_FULL_4(pack, p, a, b, c, d, k, n) ig_store(p, pack(a, b, c, d, k))
#define IG_STORE_FULL_2(pack, p, a, b, k, n) \
    _mm256_storeu_si256((__m256i *)(p), _mm512_castsi512_si256(ig_front2(pack(a, b, a, b, k))))
#define IG_STORE_FULL_1(pack, p, a, k, n) \
    _mm_storeu_si128((__m128i *)(p), _mm512_castsi512_si128(ig_front1(pack(a, a, a, a, k))))

/* Codes of 16 bits, of one vector in its own order; n of them. */
IG_INLINE void ig_store_s16(void *p, ig_v v, int32_t low, int32_t high, int32_t n)
{
    const ig_v clamped = _mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(low)), _mm512_set1_epi32(high));
    const __mmask16 m = (__mmask16)_bzhi_u32(0xffff, n > 0 ? (uint32_t)n : 0);
    _mm256_mask_storeu_epi16(p, m, _mm512_cvtepi32_epi16(clamped));
}

/* Two vectors as 16-bit numbers in the order of IG_PAIRS, clamped. */
IG_INLINE ig_v ig_pack_s16(ig_v a, ig_v b, int32_t low, int32_t high)
{
    const ig_v least = _mm512_set1_epi16((short)low), most = _mm512_set1_epi16((short)high);
    return _mm512_min_epi16(_mm512_max_epi16(_mm512_packs_epi32(a, b), least), most);
}

/* 16-bit numbers as lanes: n of them where fewer than a vector remain. */
IG_INLINE ig_v ig_load_s16(const int16_t *p, int32_t n)
{
    const __mmask16 m = (__mmask16)_bzhi_u32(0xffff, n < 16 ? (uint32_t)n : 16);
    return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(m, p));
}

/* `ig_read_knots`: a knot and the next one are the halves of a lane, weighted by 64 - r and r. */
IG_INLINE ig_v ig_knots(const int16_t *table, ig_v code)
{
    const ig_v offset = _mm512_add_epi32(code, _mm512_set1_epi32(32768));
    const ig_v r = _mm512_and_si512(offset, _mm512_set1_epi32(63));
    const ig_v pairs = _mm512_i32gather_epi32(_mm512_srli_epi32(offset, 6), table, 2);
    const ig_v shares = _mm512_add_epi32(_mm512_set1_epi32(64), _mm512_sub_epi32(_mm512_slli_epi32(r, 16), r));
    return _mm512_srai_epi32(_mm512_add_epi32(_mm512_madd_epi16(pairs, shares), _mm512_set1_epi32(32)), 6);
}

#endif
