#include "read_number.h"

#include <stdint.h>
#include <string.h>

enum { LIMBS = 16, POINT = 256, MOST_DIGITS = 19 };

/* A fixed-point number of 512 bits, least significant limb first, with 256 fraction bits; exact but for what was lost
 * in divisions. */
struct wide {
    uint32_t limb[LIMBS];
    int inexact;
};

static void multiply(struct wide *x, uint32_t factor)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)x->limb[i] * factor;
        x->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void divide(struct wide *x, uint32_t divisor)
{
    uint64_t rest = 0;
    for (int i = LIMBS; i-- > 0;) {
        rest = rest << 32 | x->limb[i];
        x->limb[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    x->inexact |= rest != 0;
}

static int bit(const struct wide *x, int i) { return x->limb[i / 32] >> i % 32 & 1; }

/* The nearest double, ties to even. */
static double nearest(const struct wide *x)
{
    int top = 32 * LIMBS - 1, below = x->inexact;
    while (top >= 0 && !bit(x, top))
        top--;
    if (top < 0)
        return 0;
    uint64_t mantissa = 0;
    const int last = top - 52; /* of 53 bits */
    for (int i = top; i >= last; i--)
        mantissa = mantissa << 1 | (uint64_t)(i < 0 ? 0 : bit(x, i));
    for (int i = 0; i < last - 1; i++)
        below |= bit(x, i);
    if (last > 0 && bit(x, last - 1) && (below || (mantissa & 1)))
        mantissa++;
    double value = (double)mantissa;
    for (int i = last; i < POINT; i++)
        value *= 0.5;
    for (int i = POINT; i < last; i++)
        value *= 2;
    return value;
}

static double scaled(uint64_t digits, int32_t exponent)
{
    struct wide x;
    memset(&x, 0, sizeof x);
    x.limb[POINT / 32] = (uint32_t)digits;
    x.limb[POINT / 32 + 1] = (uint32_t)(digits >> 32);
    for (; exponent > 0; exponent--)
        multiply(&x, 10);
    for (; exponent <= -9; exponent += 9)
        divide(&x, 1000000000);
    for (; exponent < 0; exponent++)
        divide(&x, 10);
    return nearest(&x);
}

static int is_digit(const unsigned char *bytes, size_t size, size_t at)
{
    return at < size && bytes[at] >= '0' && bytes[at] <= '9';
}

/* An exponent behind `e`, limited to +-9999; 0 and nothing read if there is none. */
static int32_t read_exponent(const unsigned char *bytes, size_t size, size_t *at)
{
    size_t next = *at;
    if (next >= size || (bytes[next] != 'e' && bytes[next] != 'E'))
        return 0;
    next++;
    const int negative = next < size && bytes[next] == '-';
    if (next < size && (bytes[next] == '-' || bytes[next] == '+'))
        next++;
    if (!is_digit(bytes, size, next))
        return 0;
    int32_t exponent = 0;
    for (; is_digit(bytes, size, next); next++)
        exponent = exponent > 999 ? 9999 : exponent * 10 + (bytes[next] - '0');
    *at = next;
    return negative ? -exponent : exponent;
}

enum number_status read_number(const unsigned char *bytes, size_t size, size_t *at, double *value)
{
    size_t next = *at;
    const int negative = next < size && bytes[next] == '-';
    if (next < size && (bytes[next] == '-' || bytes[next] == '+'))
        next++;
    uint64_t digits = 0;
    int32_t count = 0, zeros = 0, any = 0, point = 0, exponent = 0; /* zeros: not yet counted as digits */
    for (; is_digit(bytes, size, next) || (next < size && bytes[next] == '.' && !point); next++) {
        if (bytes[next] == '.') {
            point = 1;
            continue;
        }
        any = 1;
        if (exponent > -10000)
            exponent -= point;
        if (bytes[next] == '0') {
            zeros += count > 0 && zeros < 10000;
            continue;
        }
        count += zeros + 1;
        if (count > MOST_DIGITS)
            return NUMBER_TOO_LONG;
        for (; zeros > 0; zeros--)
            digits *= 10;
        digits = digits * 10 + (uint64_t)(bytes[next] - '0');
    }
    if (!any)
        return NUMBER_NONE;
    exponent += zeros + read_exponent(bytes, size, &next); /* zeros at the end are not digits */
    *at = next;
    *value = 0;
    if (digits && count + exponent > 39)
        return NUMBER_TOO_LARGE;
    if (digits && count + exponent >= -45)
        *value = scaled(digits, exponent);
    if (negative)
        *value = -*value;
    return NUMBER_OK;
}
