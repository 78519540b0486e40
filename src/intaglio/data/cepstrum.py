"""Mel-frequency cepstral coefficients of a sound, the same bits in Python and in C.

    power = |fft(hann * frame)|**power;   energy = log(bands @ power + floor);   y = dct(energy)

Every operation is one of float32 in a fixed order (`app/sources/prepare_sound.c` repeats it): products and sums are
rounded one by one, sums run from the first term to the last, the transform is radix 2, decimation in time.

Source: Davis and Mermelstein 1980, doi:10.1109/TASSP.1980.1163420; Cooley and Tukey 1965,
doi:10.1090/S0025-5718-1965-0178586-1; logarithm: Moshier, Cephes, logf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intaglio.errors import DataError

Reals = npt.NDArray[np.float32]
f32 = np.float32

# log(1 + m) = m - m**2 / 2 + m**3 * polynomial(m); log(2) in two parts, of which the first has few bits
_POLYNOMIAL = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG2_HIGH, _LOG2_LOW, _SQRT_HALF = f32(0.693359375), f32(-2.12194440e-4), f32(0.707106781186547524)


@dataclass(frozen=True)
class Cepstrum:
    """Preprocessing of sounds.

    Attributes:
        rate: samples per second.
        samples: length of a sound; longer ones are cut, zeros are appended to shorter ones.
        window, stride: samples of a frame, and from one frame to the next.
        fft: length of the transform, a power of two; a frame is followed by zeros.
        bands: number of mel bands, triangles evenly spaced in mel = 1127 ln(1 + Hz / 700).
        low, high: edges of the lowest and the highest band in Hz.
        coefficients: number of coefficients of the orthonormal DCT-II; 0: the log energies of the bands, without DCT.
        power: 2 for the power spectrum, 1 for its square root.
        floor: added to the energy of each band before the logarithm.
    """

    rate: int = 16000
    samples: int = 16000
    window: int = 480
    stride: int = 320
    fft: int = 512
    bands: int = 40
    low: float = 20.0
    high: float = 4000.0
    coefficients: int = 10
    power: int = 2
    floor: float = 1e-6

    def __post_init__(self) -> None:
        """Check that the values fit each other.

        Raises:
            DataError: they do not.
        """
        if self.fft & (self.fft - 1) or not 2 <= self.fft <= 1 << 15:
            raise DataError(f"sound.fft: expected a power of two from 2 to 32768, got {self.fft}")
        if not self.window <= self.fft:
            raise DataError(f"sound.window: expected at most fft, {self.fft} samples, got {self.window}")
        if not self.window <= self.samples:
            raise DataError(f"sound.samples: expected at least the window, {self.window} samples, got {self.samples}")
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise DataError(
                f"sound.low, high: expected 0 <= low < high <= rate / 2 = {self.rate / 2:g} Hz, got {self.low:g} and "
                f"{self.high:g}"
            )
        if self.coefficients > self.bands:
            raise DataError(f"sound.coefficients: expected at most bands, {self.bands}, got {self.coefficients}")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of frames, and of values in each."""
        return 1 + (self.samples - self.window) // self.stride, self.coefficients or self.bands

    def hann(self) -> Reals:
        """Return the window, (window,)."""
        return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)).astype(f32)

    def roots(self) -> tuple[Reals, Reals]:
        """Return cosines and negative sines of 2 pi k / fft, (fft / 2,) each."""
        angle = 2 * np.pi * np.arange(self.fft // 2) / self.fft
        return np.cos(angle).astype(f32), (-np.sin(angle)).astype(f32)

    def mel_weights(self) -> Reals:
        """Return the weights of each band, (bands, fft / 2 + 1)."""
        low, high = (1127 * np.log1p(hz / 700) for hz in (self.low, self.high))
        corners = np.linspace(low, high, self.bands + 2)
        mel = 1127 * np.log1p(np.arange(self.fft // 2 + 1) * self.rate / self.fft / 700)
        left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
        rising, falling = (mel - left) / (middle - left), (right - mel) / (right - middle)
        weights: Reals = np.clip(np.minimum(rising, falling), 0, None).astype(f32)
        return weights

    def dct(self) -> Reals:
        """Return the rows of the transform, (coefficients, bands)."""
        k, n = np.arange(self.coefficients)[:, None], np.arange(self.bands)
        scale = np.where(k == 0, np.sqrt(1 / self.bands), np.sqrt(2 / self.bands))
        return (np.cos(np.pi * k * (2 * n + 1) / (2 * self.bands)) * scale).astype(f32)

    def features(self, sound: npt.NDArray[np.int16]) -> Reals:
        """Compute the features of a sound.

        Args:
            sound: int16, (n,); 32768 stands for 1.
        Returns:
            float32, `shape`.
        """
        padded = np.zeros(self.samples, f32)
        padded[: len(sound)] = sound[: self.samples].astype(f32) / f32(32768)
        starts = np.arange(self.shape[0]) * self.stride
        frames = np.zeros((self.shape[0], self.fft), f32)
        frames[:, : self.window] = padded[starts[:, None] + np.arange(self.window)] * self.hann()
        re, im = transform(frames, *self.roots())
        half = self.fft // 2 + 1
        power = re[:, :half] * re[:, :half] + im[:, :half] * im[:, :half]
        if self.power == 1:
            power = np.sqrt(power)
        energy = log(_product(power, self.mel_weights()) + f32(self.floor))
        return _product(energy, self.dct()) if self.coefficients else energy


def transform(frames: Reals, cosines: Reals, sines: Reals) -> tuple[Reals, Reals]:
    """Compute the discrete Fourier transform of each row, (n, fft); real and imaginary part."""
    length = frames.shape[1]
    bits = length.bit_length() - 1
    order = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(length)]
    re, im = frames[:, order].copy(), np.zeros_like(frames)
    size = 1
    while size < length:
        step = length // (2 * size)
        c, s = cosines[::step][:size], sines[::step][:size]
        x, y = re.reshape(-1, length // (2 * size), 2, size), im.reshape(-1, length // (2 * size), 2, size)
        a, b = x[:, :, 1] * c - y[:, :, 1] * s, x[:, :, 1] * s + y[:, :, 1] * c
        x[:, :, 1], y[:, :, 1] = x[:, :, 0] - a, y[:, :, 0] - b
        x[:, :, 0] += a
        y[:, :, 0] += b
        size *= 2
    return re, im


def log(x: Reals) -> Reals:
    """Compute the natural logarithm of positive float32 to about an ulp."""
    m, exponent = np.frexp(x)
    small = m < _SQRT_HALF
    m = np.where(small, m + m, m) - f32(1)
    e = (exponent - small).astype(f32)
    z = m * m
    y = np.full_like(m, f32(_POLYNOMIAL[0]))
    for coefficient in _POLYNOMIAL[1:]:
        y = y * m + f32(coefficient)
    y = y * m * z + e * _LOG2_LOW
    y = y + f32(-0.5) * z
    result: Reals = (m + y) + e * _LOG2_HIGH
    return result


def _product(x: Reals, weights: Reals) -> Reals:
    """Compute `x @ weights.T` with sums from the first term to the last, which no BLAS promises."""
    acc = np.zeros((len(x), len(weights)), f32)
    for k in range(x.shape[1]):
        acc += x[:, k, None] * weights[:, k]
    return acc
