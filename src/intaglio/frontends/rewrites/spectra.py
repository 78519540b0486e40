"""Fourier transforms with constant windows, as products with sines and cosines: DFT and STFT."""

from __future__ import annotations

import numpy as np

from intaglio.frontends.rewrites.rewriting import Rewriting, constant_input, is_float
from intaglio.graph.access import Array, attribute, input_value, rank, shape


def dft(to: Rewriting) -> None:
    """Rewrite DFT -> MatMul with (real and imaginary parts) x (real and imaginary parts)."""
    value, length, axes = to.input(0), constant_input(to.node, 1), constant_input(to.node, 2)
    inverse, onesided = bool(attribute(to.node, "inverse", 0)), bool(attribute(to.node, "onesided", 0))
    computed = any(input_value(to.node, k) is not None and constant_input(to.node, k) is None for k in (1, 2))
    if not is_float(value) or computed or (inverse and onesided):
        return
    full = rank(value)
    axis = (-2 if axes is None else int(axes.ravel()[0])) % full
    parts, size = shape(value)[-1], shape(value)[axis]
    points = size if length is None else int(length.ravel()[0])
    value = to.slice(value, axis, 0, points)
    value = to.pad(value, {axis: (0, max(0, points - size))})
    matrix = _waves(points, points // 2 + 1 if onesided else points, parts, inverse=inverse)
    order = [*(other for other in range(full - 1) if other != axis), axis, full - 1]
    turned = to.transpose(value, order)
    lead = shape(turned)[:-2]
    rows = to.reshape(turned, (*lead, points * parts))
    spectrum = to.reshape(to.apply("MatMul", rows, to.array(matrix, "waves")), (*lead, matrix.shape[1] // 2, 2))
    to.finish(to.transpose(spectrum, np.argsort(order).tolist()))


def stft(to: Rewriting) -> None:
    """Rewrite STFT with a constant window -> Conv with windowed sines and cosines."""
    signal, step = to.input(0), constant_input(to.node, 1)
    window, length = constant_input(to.node, 2), constant_input(to.node, 3)
    computed = any(input_value(to.node, k) is not None and constant_input(to.node, k) is None for k in (1, 2, 3))
    if computed or step is None or (window is None and length is None) or rank(signal) not in (2, 3):
        return
    points = len(window) if window is not None else int(np.ravel(length)[0])  # type: ignore[arg-type]
    samples, size = shape(signal)[:2]
    parts = shape(signal)[2] if rank(signal) == 3 else 1
    onesided = bool(attribute(to.node, "onesided", 1))
    matrix = _waves(points, points // 2 + 1 if onesided else points, parts, inverse=False)
    waves = matrix.reshape(points, parts, -1).transpose(2, 1, 0)
    if window is not None:
        waves = waves * window.astype(np.float32)
    turned = to.transpose(to.reshape(signal, (samples, size, parts)), (0, 2, 1))
    weight = to.array(np.ascontiguousarray(waves, np.float32), "waves")
    hop = int(np.ravel(step)[0])
    frames = to.apply("Conv", turned, weight, strides=[hop], kernel_shape=[points], pads=[0, 0], dilations=[1], group=1)
    turned = to.transpose(frames, (0, 2, 1))
    to.finish(to.reshape(turned, (*shape(turned)[:2], waves.shape[0] // 2, 2)))


def _waves(points: int, found: int, parts: int, *, inverse: bool) -> Array:
    """Make the matrix of a transform, (points * parts, found * 2): element, part to frequency, real and imaginary.

    X[k] = sum x[n] exp(-2 pi i n k / points); the inverse has the other sign and divides by the number of points.
    """
    turns = np.outer(np.arange(points), np.arange(found)) % points / points
    wave = np.exp((2j if inverse else -2j) * np.pi * turns) / (points if inverse else 1)
    rows = [np.stack([wave.real, wave.imag], axis=-1), np.stack([-wave.imag, wave.real], axis=-1)][:parts]
    return np.stack(rows, axis=1).reshape(points * parts, found * 2).astype(np.float32)
