/* Sizes of the kernel that makes tables of results. */
#ifndef IG_LAYER_NORM_TABLES_H
#define IG_LAYER_NORM_TABLES_H

#include "common/walk.h"
#include "layer_norm/layer_norm.h"

enum {
    IG_CHANNELS = 64,    /* channels whose tables are in use at a time: 16 kB */
    IG_POSITIONS = 32768 /* 32768 * 255^2 < 2^31 */
};

#endif
