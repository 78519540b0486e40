/* What the processor and its operating system can do, asked of them: some compilers ship a __builtin_cpu_supports that
 * always says no. Slow under virtual machines (each `cpuid` leaves them), so ask the compiler's own first.
 */
#ifndef IG_CPUID_H
#define IG_CPUID_H

#include <cpuid.h>
#include <stdint.h>

enum {
    IG_CPU_AVX2 = 1, /* with BMI2 */
    IG_CPU_AVXVNNI = 2,
    IG_CPU_AVX512 = 4, /* F, BW, DQ and VL */
    IG_CPU_AVX512VNNI = 8
};

static inline __attribute__((unused)) uint32_t ig_cpu_features(void)
{
    uint32_t a, b, c, d, low, high, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) /* ymm registers are saved */
        return 0;
    if ((b >> 5 & 1) && (b >> 8 & 1))
        found |= IG_CPU_AVX2;
    if ((low & 0xe6) == 0xe6 && (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1)) { /* and zmm */
        found |= IG_CPU_AVX512;
        if (c >> 11 & 1)
            found |= IG_CPU_AVX512VNNI;
    }
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1))
        found |= IG_CPU_AVXVNNI;
    return found;
}

#endif
