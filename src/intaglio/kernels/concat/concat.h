/* Tensors behind each other along one axis: for every outer place, a run of each. */
#ifndef IG_CONCAT_H
#define IG_CONCAT_H

#include "common/fixedpoint.h"

struct ig_concat {
    const int32_t *bytes; /* of a run of each input */
    int32_t inputs, run;  /* run: their sum */
};

#endif
