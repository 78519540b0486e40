/* AVX2 with AVX-VNNI. */
#ifndef IG_AVXVNNI_H
#define IG_AVXVNNI_H

#define IG_VNNI_ 1
#include "isa/avx2.h"

#endif
