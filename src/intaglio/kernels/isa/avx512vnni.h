/* AVX-512 with VNNI. */
#ifndef IG_AVX512VNNI_H
#define IG_AVX512VNNI_H

#define IG_VNNI_ 1
#include "isa/avx512.h"

#endif
