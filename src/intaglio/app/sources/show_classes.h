/* The classes with the largest scores, from the codes of an output. */
#ifndef SHOW_CLASSES_H
#define SHOW_CLASSES_H

#include "app_text.h"

struct class_settings {
    int32_t classes;
    int32_t top;              /* as many classes are shown, best first; of equal codes the first class first */
    const char *const *names; /* NULL: numbers from 0 */
    /* Scores are probabilities, the softmax of the outputs in tenths of a per cent, if there are tables of exp(-k *
     * SCALE): fine[k] for k = 0 to 255 and coarse[k / 256], with 30 fraction bits. */
    const int32_t *coarse, *fine;
    /* Otherwise they are the outputs themselves: (code - zero_point) * factor / 2^16, with this many decimals. */
    int64_t factor;
    int32_t zero_point, decimals;
};

/* code(i) is the code of class i. */
void show_classes(const struct class_settings *settings, int32_t (*code)(int32_t i), void (*print)(const char *text));

#endif
