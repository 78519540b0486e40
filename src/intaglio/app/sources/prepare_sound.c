/* Each operation is one of 32-bit floating-point numbers, in the order of data/cepstrum.py of Intaglio, so that both
 * give the same bits: no contraction of x * y + z to one rounding (-ffp-contract=off), no reordering (-ffast-math). */
#include "prepare_sound.h"

#include <math.h>
#include <string.h>

#include "quantize_real.h"
#include "read_wav.h"

static float re[APP_FFT], im[APP_FFT], energies[APP_BANDS];

/* A product of its own, rounded: not to be contracted with a sum. */
static float product(float x, float y)
{
    volatile const float rounded = x * y;
    return rounded;
}

static void read_frame(const struct sound_settings *s, const struct wav *sound, int32_t start)
{
    memset(re, 0, sizeof re);
    memset(im, 0, sizeof im);
    for (int32_t i = 0, reversed = 0; i < APP_FFT; i++) {
        const int32_t at = start + i;
        if (i < s->window && (size_t)at < sound->samples)
            re[reversed] = (float)wav_sample(sound, (size_t)at) / 32768.0f * s->hann[i];
        int32_t bit = APP_FFT / 2; /* count upwards from the highest bit down */
        for (; bit && (reversed & bit); bit /= 2)
            reversed ^= bit;
        reversed |= bit;
    }
}

/* The discrete Fourier transform of re and im, whose elements stand in bit-reversed order. */
static void transform(const float *cosines, const float *sines)
{
    for (int32_t size = 1; size < APP_FFT; size *= 2)
        for (int32_t first = 0; first < APP_FFT; first += 2 * size)
            for (int32_t k = 0; k < size; k++) {
                const int32_t i = first + k, j = i + size, root = k * (APP_FFT / (2 * size));
                const float a = product(re[j], cosines[root]) - product(im[j], sines[root]);
                const float b = product(re[j], sines[root]) + product(im[j], cosines[root]);
                re[j] = re[i] - a;
                im[j] = im[i] - b;
                re[i] += a;
                im[i] += b;
            }
}

/* The natural logarithm of a positive number (Moshier, Cephes, logf). */
static float logarithm(float x)
{
    static const float polynomial[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                                       -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                                       2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    uint32_t bits;
    float m;
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (int32_t)(bits >> 23 & 255) - 126;
    bits = (bits & 0x7fffff) | 126u << 23; /* 0.5 <= m < 1 */
    memcpy(&m, &bits, sizeof m);
    if (m < 0.707106781186547524f) {
        exponent--;
        m = m + m;
    }
    m = m - 1.0f;
    const float z = product(m, m), e = (float)exponent;
    float y = polynomial[0];
    for (size_t i = 1; i < sizeof polynomial / sizeof *polynomial; i++)
        y = product(y, m) + polynomial[i];
    y = product(product(y, m), z) + product(e, -2.12194440e-4f);
    y = y + product(-0.5f, z);
    return m + y + product(e, 0.693359375f);
}

static float band_energy(const struct sound_settings *s, const struct mel_band *band)
{
    float sum = 0;
    for (int32_t k = 0; k < band->count; k++) {
        const int32_t i = band->first + k;
        float power = product(re[i], re[i]) + product(im[i], im[i]);
        if (s->magnitude)
            power = sqrtf(power);
        sum += product(power, s->mel_weights[band->start + k]);
    }
    return logarithm(sum + s->floor);
}

static app_input *store_frame(const struct sound_settings *s, app_input *out)
{
    for (int32_t i = 0; i < s->bands; i++)
        energies[i] = band_energy(s, &s->mel[i]);
    if (!s->coefficients)
        for (int32_t i = 0; i < s->bands; i++)
            *out++ = quantize_real(energies[i]);
    for (int32_t k = 0; k < s->coefficients; k++) {
        float sum = 0;
        for (int32_t i = 0; i < s->bands; i++)
            sum += product(energies[i], s->dct[k * s->bands + i]);
        *out++ = quantize_real(sum);
    }
    return out;
}

int prepare_sound(const unsigned char *bytes, size_t size, const struct sound_settings *s, app_input *input,
                  struct app_text *error)
{
    struct wav sound;
    if (read_wav(bytes, size, s->rate, &sound, error))
        return -1;
    if (sound.samples > (size_t)s->samples)
        sound.samples = (size_t)s->samples;
    for (int32_t frame = 0; frame < s->frames; frame++) {
        read_frame(s, &sound, frame * s->stride);
        transform(s->cosines, s->sines);
        input = store_frame(s, input);
    }
    return 0;
}
