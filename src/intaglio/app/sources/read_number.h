/* A decimal number in a text, as strtod reads it, without the C library's locale and heap. */
#ifndef READ_NUMBER_H
#define READ_NUMBER_H

#include <stddef.h>

enum number_status { NUMBER_OK, NUMBER_NONE, NUMBER_TOO_LONG, NUMBER_TOO_LARGE };

/* Read the number at bytes[*at] and move *at behind it. `value` is the nearest double (ties to even); numbers below
 * 10^-46, which no float tells from 0, are 0. Refused are numbers of more than 19 significant digits and those beyond
 * 10^39, which no float holds. */
enum number_status read_number(const unsigned char *bytes, size_t size, size_t *at, double *value);

#endif
