/* Repetition by the preprocessor, so that every accumulator of a tile is a variable of its own.
 * IG_REPEAT(n, M, a) is M(0, a) M(1, a) ... M(n - 1, a); IG_AGAIN is the same for use inside M.
 */
#ifndef IG_REPEAT_H
#define IG_REPEAT_H

#define IG_CAT_(a, b) a##b
#define IG_CAT(a, b) IG_CAT_(a, b)

/* The form of requantization that IG_FORM_ names; see the instruction sets' headers. */
#define IG_FACTORS IG_CAT(IG_FACTORS_, IG_FORM_)
#define IG_FACTOR struct IG_CAT(ig_factor_, IG_FORM_)
#define IG_LOAD_FACTOR_AT(f) IG_CAT(ig_load_factor_, IG_FORM_)(f)
#define IG_SCALE_BY(acc, factor) IG_CAT(ig_requantize_, IG_FORM_)(acc, factor)
#define IG_LOAD_FACTOR(f) const IG_FACTOR factor = IG_LOAD_FACTOR_AT(f)
#define IG_REQUANTIZE(acc) IG_SCALE_BY(acc, factor)

#define IG_REPEAT_0(M, a)
#define IG_REPEAT_1(M, a) M(0, a)
#define IG_REPEAT_2(M, a) IG_REPEAT_1(M, a) M(1, a)
#define IG_REPEAT_3(M, a) IG_REPEAT_2(M, a) M(2, a)
#define IG_REPEAT_4(M, a) IG_REPEAT_3(M, a) M(3, a)
#define IG_REPEAT_5(M, a) IG_REPEAT_4(M, a) M(4, a)
#define IG_REPEAT_6(M, a) IG_REPEAT_5(M, a) M(5, a)
#define IG_REPEAT_7(M, a) IG_REPEAT_6(M, a) M(6, a)
#define IG_REPEAT_8(M, a) IG_REPEAT_7(M, a) M(7, a)
#define IG_REPEAT_9(M, a) IG_REPEAT_8(M, a) M(8, a)
#define IG_REPEAT_10(M, a) IG_REPEAT_9(M, a) M(9, a)
#define IG_REPEAT_11(M, a) IG_REPEAT_10(M, a) M(10, a)
#define IG_REPEAT_12(M, a) IG_REPEAT_11(M, a) M(11, a)
#define IG_REPEAT_13(M, a) IG_REPEAT_12(M, a) M(12, a)
#define IG_REPEAT_14(M, a) IG_REPEAT_13(M, a) M(13, a)
#define IG_REPEAT_15(M, a) IG_REPEAT_14(M, a) M(14, a)
#define IG_REPEAT_16(M, a) IG_REPEAT_15(M, a) M(15, a)
#define IG_REPEAT(n, M, a) IG_CAT(IG_REPEAT_, n)(M, a)

#define IG_AGAIN_1(M, a) M(0, a)
#define IG_AGAIN_2(M, a) IG_AGAIN_1(M, a) M(1, a)
#define IG_AGAIN_3(M, a) IG_AGAIN_2(M, a) M(2, a)
#define IG_AGAIN_4(M, a) IG_AGAIN_3(M, a) M(3, a)
#define IG_AGAIN(n, M, a) IG_CAT(IG_AGAIN_, n)(M, a)

#endif
