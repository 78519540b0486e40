/* NEON (AArch64) in the terms that the vector kernels are written in; see avx512.h for what they mean. A vector is 4
 * lanes, and packing four of them keeps their order. Products are of signed bytes: unsigned inputs are flipped.
 * neondot.h sets IG_DOTPROD_ where the processor has more.
 */
#ifndef IG_NEON_H
#define IG_NEON_H

#ifndef IG_DOTPROD_
#define IG_DOTPROD_ 0
#endif

#include "common/requantize.h"
#include "isa/repeat.h"

#include <arm_neon.h>

#define IG_LANES 4
#define IG_INLINE static inline __attribute__((always_inline, unused))
typedef int32x4_t ig_v;

IG_INLINE ig_v ig_load(const void *p) { return vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p)); }
IG_INLINE void ig_store(void *p, ig_v v) { vst1q_u8((uint8_t *)p, vreinterpretq_u8_s32(v)); }
IG_INLINE ig_v ig_splat(int32_t v) { return vdupq_n_s32(v); }
IG_INLINE ig_v ig_plus(ig_v a, ig_v b) { return vaddq_s32(a, b); }
IG_INLINE ig_v ig_subtract(ig_v a, ig_v b) { return vsubq_s32(a, b); }
IG_INLINE ig_v ig_multiply(ig_v a, ig_v b) { return vmulq_s32(a, b); }
#define ig_shift_left(v, bits) vshlq_n_s32(v, bits)
#define ig_shift_right(v, bits) vshlq_s32(v, vdupq_n_s32(-(bits))) /* also by 0 */
IG_INLINE ig_v ig_shift_right_by(ig_v v, int32_t bits) { return vshlq_s32(v, vdupq_n_s32(-bits)); }
IG_INLINE ig_v ig_clamp_s32(ig_v v, int32_t low, int32_t high)
{
    return vminq_s32(vmaxq_s32(v, vdupq_n_s32(low)), vdupq_n_s32(high));
}
IG_INLINE ig_v ig_sub_product(ig_v a, ig_v b, ig_v c) { return vmlsq_s32(a, b, c); }
IG_INLINE ig_v ig_flip(ig_v v) { return vreinterpretq_s32_u8(veorq_u8(vreinterpretq_u8_s32(v), vdupq_n_u8(128))); }

IG_INLINE ig_v ig_broadcast(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return vdupq_n_s32(four);
}
struct ig_steps {
    ptrdiff_t one;
};
IG_INLINE struct ig_steps ig_steps(ptrdiff_t step) { return (struct ig_steps){step}; }
IG_INLINE ig_v ig_broadcast_row(const uint8_t *p, struct ig_steps k, int r) { return ig_broadcast(p + r * k.one); }

#define IG_ZIP_(half, width, a, b) \
    vreinterpretq_s32_u##width(vzip##half##q_u##width(vreinterpretq_u##width##_s32(a), vreinterpretq_u##width##_s32(b)))
#define IG_TRANSPOSE(x0, x1, x2, x3, z0, z1, z2, z3)                              \
    do {                                                                          \
        const ig_v low01 = IG_ZIP_(1, 8, x0, x1), high01 = IG_ZIP_(2, 8, x0, x1); \
        const ig_v low23 = IG_ZIP_(1, 8, x2, x3), high23 = IG_ZIP_(2, 8, x2, x3); \
        z0 = IG_ZIP_(1, 16, low01, low23);                                        \
        z1 = IG_ZIP_(2, 16, low01, low23);                                        \
        z2 = IG_ZIP_(1, 16, high01, high23);                                      \
        z3 = IG_ZIP_(2, 16, high01, high23);                                      \
    } while (0)

IG_INLINE ig_v ig_dot(ig_v acc, ig_v x, ig_v w)
{
    const int8x16_t a = vreinterpretq_s8_s32(x), b = vreinterpretq_s8_s32(w);
#if IG_DOTPROD_
    return vdotq_s32(acc, a, b);
#else
    /* Products of bytes fit 16 bits, sums of neighbours are taken in 32. */
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(acc, vpaddq_s32(low, high));
#endif
}
#define IG_DOT(acc, x, w) (acc) = ig_dot(acc, x, w)
#define IG_DOT_MEMORY(acc, x, w) (acc) = ig_dot(acc, x, ig_load(w))

/* Products of 16-bit numbers: the first ones of all lanes lie in the lower half, the second ones in the upper. */
IG_INLINE ig_v ig_dot16(ig_v acc, ig_v x, ig_v w)
{
    const int16x8_t a = vreinterpretq_s16_s32(x), b = vreinterpretq_s16_s32(w);
    return vmlal_high_s16(vmlal_s16(acc, vget_low_s16(a), vget_low_s16(b)), a, b);
}
#define IG_DOT16(acc, x, w) (acc) = ig_dot16(acc, x, w)
IG_INLINE ig_v ig_broadcast_pair_row(const uint8_t *p, struct ig_steps k, int r)
{
    int16_t x[2];
    memcpy(x, p + r * k.one, 4);
    return vreinterpretq_s32_s16(vcombine_s16(vdup_n_s16(x[0]), vdup_n_s16(x[1])));
}
#define IG_PAIRS(x0, x1, z0, z1)                                                                      \
    do {                                                                                              \
        z0 = vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(x0), vreinterpretq_s64_s32(x1))); \
        z1 = vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(x0), vreinterpretq_s64_s32(x1))); \
    } while (0)
#define IG_RAISE(x, z0, z1)                                           \
    do {                                                              \
        z0 = vshll_n_s16(vget_low_s16(vreinterpretq_s16_s32(x)), 16); \
        z1 = vshll_high_n_s16(vreinterpretq_s16_s32(x), 16);          \
    } while (0)

#define IG_FACTORS_fast 4
struct ig_factor_fast {
    ig_v multiplier, add, shift;
};
IG_INLINE struct ig_factor_fast ig_load_factor_fast(const int32_t *f)
{
    return (struct ig_factor_fast){ig_load(f), ig_load(f + 8), vnegq_s32(ig_load(f + 12))};
}
IG_INLINE ig_v ig_requantize_fast(ig_v acc, struct ig_factor_fast f)
{
    const int64x2_t low = vmull_s32(vget_low_s32(acc), vget_low_s32(f.multiplier));
    const int64x2_t high = vmull_high_s32(acc, f.multiplier);
    const ig_v top = vuzp2q_s32(vreinterpretq_s32_s64(low), vreinterpretq_s32_s64(high));
    return vshlq_s32(vaddq_s32(top, f.add), f.shift);
}

#define IG_FACTORS_left 5
struct ig_factor_left {
    struct ig_factor_fast fast;
    ig_v left;
};
IG_INLINE struct ig_factor_left ig_load_factor_left(const int32_t *f)
{
    return (struct ig_factor_left){ig_load_factor_fast(f), ig_load(f + 16)};
}
IG_INLINE ig_v ig_requantize_left(ig_v acc, struct ig_factor_left f)
{
    return ig_requantize_fast(vshlq_s32(acc, f.left), f.fast);
}

#define IG_FACTORS_tflite 6
struct ig_factor_tflite {
    ig_v multiplier, mask, half, shift, zero_point;
};
IG_INLINE struct ig_factor_tflite ig_load_factor_tflite(const int32_t *f)
{
    return (struct ig_factor_tflite){ig_load(f), ig_load(f + 8), ig_load(f + 12), vnegq_s32(ig_load(f + 16)),
                                     ig_load(f + 20)};
}
IG_INLINE ig_v ig_requantize_tflite(ig_v acc, struct ig_factor_tflite f)
{
    const ig_v x = vqrdmulhq_s32(acc, f.multiplier);
    const ig_v threshold = vsubq_s32(f.half, vshrq_n_s32(x, 31));
    const uint32x4_t up = vcgtq_s32(vandq_s32(x, f.mask), threshold); /* -1 where it rounds up */
    return vsubq_s32(vaddq_s32(vshlq_s32(x, f.shift), f.zero_point), vreinterpretq_s32_u32(up));
}

#define IG_FACTORS_shift 3
struct ig_factor_shift {
    ig_v shift, less, zero_point;
};
IG_INLINE struct ig_factor_shift ig_load_factor_shift(const int32_t *f)
{
    return (struct ig_factor_shift){vnegq_s32(ig_load(f)), vnegq_s32(ig_load(f + 4)), ig_load(f + 8)};
}
IG_INLINE ig_v ig_requantize_shift(ig_v acc, struct ig_factor_shift f)
{
    const ig_v half = vandq_s32(vshlq_s32(acc, f.less), vdupq_n_s32(1));
    return vaddq_s32(vaddq_s32(vshlq_s32(acc, f.shift), half), f.zero_point);
}

#define IG_FACTORS_even 3
struct ig_factor_even {
    ig_v shift, less, zero_point;
};
IG_INLINE struct ig_factor_even ig_load_factor_even(const int32_t *f)
{
    return (struct ig_factor_even){vnegq_s32(ig_load(f)), ig_load(f + 4), ig_load(f + 8)};
}
IG_INLINE ig_v ig_requantize_even(ig_v acc, struct ig_factor_even f)
{
    const ig_v odd = vandq_s32(vshlq_s32(acc, f.shift), vdupq_n_s32(1));
    const ig_v total = vaddq_s32(vaddq_s32(acc, f.less), odd);
    return vaddq_s32(vshlq_s32(total, f.shift), f.zero_point);
}

struct ig_bounds {
    uint8x16_t low, high;
};
IG_INLINE struct ig_bounds ig_bounds(int32_t low, int32_t high)
{
    return (struct ig_bounds){vdupq_n_u8((uint8_t)low), vdupq_n_u8((uint8_t)high)};
}
#define IG_BYTES_(type, function, a, b) \
    vreinterpretq_s32_##type(function##_##type(vreinterpretq_##type##_s32(a), vreinterpretq_##type##_s32(b)))
IG_INLINE ig_v ig_max_u8(ig_v a, ig_v b) { return IG_BYTES_(u8, vmaxq, a, b); }
IG_INLINE ig_v ig_max_s8(ig_v a, ig_v b) { return IG_BYTES_(s8, vmaxq, a, b); }
IG_INLINE ig_v ig_min_u8(ig_v a, ig_v b) { return IG_BYTES_(u8, vminq, a, b); }
IG_INLINE ig_v ig_min_s8(ig_v a, ig_v b) { return IG_BYTES_(s8, vminq, a, b); }
IG_INLINE ig_v ig_clamp_u8(ig_v v, struct ig_bounds k)
{
    return vreinterpretq_s32_u8(vminq_u8(vmaxq_u8(vreinterpretq_u8_s32(v), k.low), k.high));
}
IG_INLINE ig_v ig_clamp_s8(ig_v v, struct ig_bounds k)
{
    const int8x16_t low = vreinterpretq_s8_u8(k.low), high = vreinterpretq_s8_u8(k.high);
    return vreinterpretq_s32_s8(vminq_s8(vmaxq_s8(vreinterpretq_s8_s32(v), low), high));
}
IG_INLINE struct ig_bounds ig_bounds_s16(int32_t low, int32_t high)
{
    return (struct ig_bounds){vreinterpretq_u8_s16(vdupq_n_s16((int16_t)low)),
                              vreinterpretq_u8_s16(vdupq_n_s16((int16_t)high))};
}
IG_INLINE ig_v ig_max_s16(ig_v a, ig_v b) { return IG_BYTES_(s16, vmaxq, a, b); }
IG_INLINE ig_v ig_clamp_s16(ig_v v, struct ig_bounds k)
{
    const int16x8_t low = vreinterpretq_s16_u8(k.low), high = vreinterpretq_s16_u8(k.high);
    return vreinterpretq_s32_s16(vminq_s16(vmaxq_s16(vreinterpretq_s16_s32(v), low), high));
}

struct ig_table {
    uint8x16x4_t part[4];
};
IG_INLINE struct ig_table ig_table(const uint8_t *p)
{
    return (struct ig_table){{vld1q_u8_x4(p), vld1q_u8_x4(p + 64), vld1q_u8_x4(p + 128), vld1q_u8_x4(p + 192)}};
}
/* A look-up outside of 64 entries leaves what was found before. */
IG_INLINE ig_v ig_look_up(const struct ig_table *t, ig_v v)
{
    const uint8x16_t at = vreinterpretq_u8_s32(v);
    uint8x16_t found = vqtbl4q_u8(t->part[0], at);
    found = vqtbx4q_u8(found, t->part[1], veorq_u8(at, vdupq_n_u8(64)));
    found = vqtbx4q_u8(found, t->part[2], veorq_u8(at, vdupq_n_u8(128)));
    return vreinterpretq_s32_u8(vqtbx4q_u8(found, t->part[3], veorq_u8(at, vdupq_n_u8(192))));
}

IG_INLINE int16x8_t ig_words(ig_v a, ig_v b) { return vqmovn_high_s32(vqmovn_s32(a), b); }
IG_INLINE ig_v ig_pack_u8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    (void)k;
    return vreinterpretq_s32_u8(vqmovun_high_s16(vqmovun_s16(ig_words(a, b)), ig_words(c, d)));
}
IG_INLINE ig_v ig_pack_s8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    (void)k;
    return vreinterpretq_s32_s8(vqmovn_high_s16(vqmovn_s16(ig_words(a, b)), ig_words(c, d)));
}
IG_INLINE ig_v ig_pack_clamped_u8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    return ig_clamp_u8(ig_pack_u8(a, b, c, d, k), k);
}
IG_INLINE ig_v ig_pack_clamped_s8(ig_v a, ig_v b, ig_v c, ig_v d, struct ig_bounds k)
{
    return ig_clamp_s8(ig_pack_s8(a, b, c, d, k), k);
}

/* The first n bytes; nothing behind them is touched. */
IG_INLINE void ig_store_bytes(void *p, ig_v v, int32_t n)
{
    if (n >= 16) {
        ig_store(p, v);
    } else if (n > 0) {
        uint8_t bytes[16];
        ig_store(bytes, v);
        memcpy(p, bytes, (size_t)n);
    }
}
IG_INLINE ig_v ig_load_bytes(const void *p, int32_t n)
{
    uint8_t bytes[16] = {0};
    if (n >= 16)
        return ig_load(p);
    memcpy(bytes, p, (size_t)n);
    return ig_load(bytes);
}

#define IG_STORE_4(pack, p, a, b, c, d, k, n) ig_store_bytes(p, pack(a, b, c, d, k), n)
#define IG_STORE_2(pack, p, a, b, k, n) ig_store_bytes(p, pack(a, b, a, b, k), (n) < 8 ? (n) : 8)
#define IG_STORE_1(pack, p, a, k, n) ig_store_bytes(p, pack(a, a, a, a, k), (n) < 4 ? (n) : 4)
#define IG_STORE_FULL_4(pack, p, a, b, c, d, k, n) ig_store(p, pack(a, b, c, d, k))
#define IG_STORE_FULL_2(pack, p, a, b, k, n) ig_store_bytes(p, pack(a, b, a, b, k), 8)
#define IG_STORE_FULL_1(pack, p, a, k, n) ig_store_bytes(p, pack(a, a, a, a, k), 4)

IG_INLINE void ig_store_s16(void *p, ig_v v, int32_t low, int32_t high, int32_t n)
{
    const int32x4_t clamped = vminq_s32(vmaxq_s32(v, vdupq_n_s32(low)), vdupq_n_s32(high));
    int16_t words[4];
    vst1_s16(words, vqmovn_s32(clamped));
    if (n > 0)
        memcpy(p, words, 2 * (size_t)(n < 4 ? n : 4));
}

IG_INLINE ig_v ig_pack_s16(ig_v a, ig_v b, int32_t low, int32_t high)
{
    const int16x8_t least = vdupq_n_s16((int16_t)low), most = vdupq_n_s16((int16_t)high);
    return vreinterpretq_s32_s16(vminq_s16(vmaxq_s16(ig_words(a, b), least), most));
}

/* 16-bit numbers as lanes: n of them where fewer than a vector remain. */
IG_INLINE ig_v ig_load_s16(const int16_t *p, int32_t n)
{
    int16_t words[4] = {0};
    if (n >= 4)
        return vmovl_s16(vld1_s16(p));
    memcpy(words, p, 2 * (size_t)n);
    return vmovl_s16(vld1_s16(words));
}

/* `ig_read_knots`: a knot and the next one are the halves of a lane. */
IG_INLINE ig_v ig_knots(const int16_t *table, ig_v code)
{
    const ig_v offset = vaddq_s32(code, vdupq_n_s32(32768)), r = vandq_s32(offset, vdupq_n_s32(63));
    int32_t at[4], pairs[4];
    vst1q_s32(at, vshrq_n_s32(offset, 6));
    for (int k = 0; k < 4; k++)
        memcpy(&pairs[k], table + at[k], 4);
    const ig_v both = vld1q_s32(pairs), next = vshrq_n_s32(both, 16), knot = vshrq_n_s32(vshlq_n_s32(both, 16), 16);
    const ig_v total = vmlaq_s32(vshlq_n_s32(knot, 6), vsubq_s32(next, knot), r);
    return vshrq_n_s32(vaddq_s32(total, vdupq_n_s32(32)), 6);
}

#endif
