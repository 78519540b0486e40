/* Real numbers to codes of the model's input, as Python does: divide by the scale, round half to even, add the zero
 * point, limit. Floating-point numbers of 32 bits; compilers must not contract x * y + z to one rounding. */
#ifndef QUANTIZE_REAL_H
#define QUANTIZE_REAL_H

#include "app_settings.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

static inline app_input quantize_real(float x)
{
#if APP_BIPOLAR
    return (app_input)(x < 0 ? -1 : 1);
#else
    const float far = 1048576.0f;    /* beyond every code */
    const float whole = 12582912.0f; /* 1.5 * 2^23: numbers of this size have no fraction */
    float steps = x / APP_SCALE;
    steps = steps < -far ? -far : steps > far ? far : steps;
    volatile const float rounded = steps + whole; /* volatile: no excess precision, no simplification */
    const float code = rounded - whole + (float)APP_ZERO_POINT;
    return (app_input)(code < APP_MIN ? APP_MIN : code > APP_MAX ? APP_MAX : code);
#endif
}

#endif
