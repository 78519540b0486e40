/* NEON with the dot product instructions. */
#ifndef IG_NEONDOT_H
#define IG_NEONDOT_H

#define IG_DOTPROD_ 1
#include "isa/neon.h"

#endif
