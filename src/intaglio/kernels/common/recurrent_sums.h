/* A step's sums in plain C: the specification. Included once for each combination of the macros.
 * Macros: IG_SUMS, IG_RECURRENT (names of the functions), IG_X, IG_H, IG_W (types of input, hidden state and weight),
 * IG_ACC (accumulator), IG_SCALE, IG_SCALE_X (rounding rules).
 */

/* Terms from the data, with the bias. */
static inline void IG_SUMS(const struct ig_recurrence *p, const IG_X *x, int32_t *sums)
{
    const int32_t k = p->gates * p->size, multiplier = p->x_factor.multiplier[0], shift = p->x_factor.shift[0];
    for (int32_t j = 0; j < k; j++)
        sums[j] =
            ig_saturate(IG_SCALE_X(x[j] - p->x_zero_point, multiplier, shift), -IG_TERM_MAX, IG_TERM_MAX) + p->bias[j];
}

/* Terms from the hidden state, of rows `from` to `to`. */
static inline void IG_RECURRENT(const struct ig_recurrence *p, const IG_H *hidden, int32_t *terms, int32_t from,
                                int32_t to)
{
    for (int32_t j = from; j < to; j++) {
        const IG_W *weight = (const IG_W *)p->weight + (size_t)j * p->size;
        const int32_t z_w = p->weight_zero_point ? p->weight_zero_point[j * p->weight_zero_point_step] : 0;
        const int32_t m = j * p->requantize.step;
        IG_ACC acc = ((const IG_ACC *)p->product_bias)[j];
        if (z_w)
            for (int32_t c = 0; c < p->size; c++)
                acc += (IG_ACC)hidden[c] * (weight[c] - z_w);
        else if (sizeof(IG_H) + sizeof(IG_W) == 2)
            for (int32_t c = 0; c < p->size; c++)
                acc += (int16_t)(hidden[c] * weight[c]); /* within 255 * 128: compilers make vectors of it */
        else
            for (int32_t c = 0; c < p->size; c++)
                acc += (IG_ACC)hidden[c] * weight[c];
        terms[j] =
            ig_saturate(IG_SCALE(acc, p->requantize.multiplier[m], p->requantize.shift[m]), -IG_TERM_MAX, IG_TERM_MAX);
    }
}
