/* From numbers in a text to the codes of the model's input, in the input's order. Numbers are separated by commas,
 * semicolons or white space. */
#ifndef READ_CSV_H
#define READ_CSV_H

#include "app_settings.h"

/* Returns 0, or -1 with the reason in `error`. */
int read_csv(const unsigned char *bytes, size_t size, app_input *input, int32_t count, struct app_text *error);

#endif
