/* Boxes around objects: decoding, non-maximum suppression, printing; in integers only. */
#ifndef SHOW_BOXES_H
#define SHOW_BOXES_H

#include "app_settings.h"

enum box_form { BOX_CORNERS, BOX_CENTER, BOX_ANCHORS };

struct box_settings {
    int32_t classes, background; /* background: a class that is no object; -1: there is none */
    /* Code of part j of box i: box_code(i * box_step + j * part_step); of class k: score_code(score_start + i *
     * score_step + k * class_step). */
    int32_t box_step, part_step, score_start, score_step, class_step;
    enum box_form form;
    int32_t y_first; /* 1: y, x, height, width or y1, x1, y2, x2; 0: x, y, width, height or x1, y1, x2, y2 */
    /* A part in units of 2^-fraction is ((code - zero_point) * factor + 2^15) / 2^16; with anchors that is the shift of
     * the centre in units of 2^-16 of the anchor. */
    int64_t factor;
    int32_t zero_point, fraction;
    const int32_t *anchors;  /* centre x, centre y, width, height of each, in units of 2^-fraction */
    const int32_t *growth;   /* of each code from its smallest on: width / width of the anchor, 16 fraction bits */
    const int16_t *permille; /* of each code from its smallest on: the score */
    int32_t smallest_box_code, smallest_score_code;
    int32_t least_code;       /* smallest code of a score that is shown */
    int32_t overlap;          /* largest intersection over union of two boxes of one class, 16 fraction bits */
    int32_t decimals;         /* of coordinates */
    const char *const *names; /* of classes; NULL: numbers from 0 */
};

/* Print the boxes with the best scores, at most APP_MOST_BOXES. A box has the class with its largest score, of equal
 * ones the first. In order of scores (of equal ones the first box) a box is kept unless its intersection over union
 * with a kept box of its class is above `overlap`. */
void show_boxes(const struct box_settings *settings, int32_t (*box_code)(int32_t at), int32_t (*score_code)(int32_t at),
                void (*print)(const char *text));

#endif
