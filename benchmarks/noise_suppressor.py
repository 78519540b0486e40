"""SI-SDR of a noise suppressor of two LSTM networks that runs as a stream, in float and in integers.

INTAGLIO_DATA=../shared/data python benchmarks/noise_suppressor.py FOLDER_OF_WAV_FILES [TARGET|mixed]

The short-time Fourier transform in front of the first network and the overlap-add behind the second stay in float.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from speech import RATE, Sound, mixed, pink_noise, read_folder, si_sdr

import intaglio as ig

BLOCK, SHIFT, FRAMES = 512, 128, 4  # samples; calibration takes every fourth frame
RATIOS = (0.0, 5.0, 10.0)
WIDE = (
    ("input_2", "input_3", "stack*concat"),
    ("input_4", "input_5", "*stack*concat", "*lstm_?/*", "conv1d_2", "*normalization*", "*dense_3*", "*multiply*"),
)
"""What has 16 bits with `mixed`: states and inputs, in the second network also its steps in front of the last."""
Array = NDArray[np.float32]
Stage = Callable[[Array], Array]


class FloatStage:
    """One network in ONNX Runtime; it keeps its states and what it was given."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._names = [value.name for value in self._session.get_inputs()]
        self.given: list[tuple[Array, Array]] = []
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._state: Array = np.zeros((1, 2, 128, 2), np.float32)

    def __call__(self, x: Array) -> Array:
        self.given.append((x, self._state))
        y, self._state = self._session.run(None, dict(zip(self._names, (x, self._state), strict=True)))
        return y

    def samples(self) -> dict[str, Array]:
        """What calibration gets, by the name of the input."""
        return {name: np.concatenate([pair[i] for pair in self.given[::FRAMES]]) for i, name in enumerate(self._names)}


def suppress(sound: Sound, masks: Stage, waves: Stage) -> Sound:
    """Run both networks over a sound."""
    out = np.zeros(len(sound) + BLOCK, np.float32)
    for at in range(0, len(sound) - BLOCK + 1, SHIFT):
        spectrum = np.fft.rfft(sound[at : at + BLOCK])
        mask = masks(np.abs(spectrum).astype(np.float32).reshape(1, 1, -1)).reshape(-1)
        block = np.fft.irfft(spectrum * mask).astype(np.float32)
        out[at : at + BLOCK] += waves(block.reshape(1, 1, -1)).reshape(-1)
    return out[: len(sound)]


def main(folder: str, target: str = "cpu-int8") -> None:
    """Print the SI-SDR of noisy, float and integer sounds."""
    models = Path(os.environ.get("INTAGLIO_DATA", "../shared/data")) / "speech" / "dtln"
    sounds, rng = list(read_folder(Path(folder)).values()), np.random.default_rng(0)
    pairs = [(s, mixed(s, pink_noise(rng, len(s)), RATIOS[i % len(RATIOS)])) for i, s in enumerate(sounds)]
    calibration, test = pairs[::3], [pair for i, pair in enumerate(pairs) if i % 3]
    floats = [FloatStage(models / f"model_{number}.onnx") for number in (1, 2)]
    for _, noisy in calibration:
        for stage in floats:
            stage.reset()
        suppress(noisy, *floats)
    with tempfile.TemporaryDirectory() as directory:
        streams = [
            quantized(models / f"model_{i}.onnx", stage.samples(), target, wide, directory)
            for i, (stage, wide) in enumerate(zip(floats, WIDE, strict=True), 1)
        ]
        rows = []
        for clean, noisy in test:
            for stage in (*floats, *streams):
                stage.reset()
            real = suppress(noisy, *floats)
            integer = suppress(noisy, *(stream.step for stream in streams))
            rows.append([si_sdr(sound, clean) for sound in (noisy, real, integer)])
    seconds = sum(len(noisy) for _, noisy in test) / RATE
    noisy, real, integer = np.mean(rows, 0)
    print(f"{len(test)} sounds, {seconds:.0f} s: SI-SDR {noisy:.2f} dB noisy, {real:.2f} float, {integer:.2f} {target}")


def quantized(path: Path, samples: dict[str, Array], target: str, wide: tuple[str, ...], directory: str) -> Any:
    """Quantize a network with the cheapest recipe, and begin a stream of its compiled program."""
    layers = dict.fromkeys(wide, "a16") if target == "mixed" else {}
    target = "cpu-int8" if target == "mixed" else target
    made = ig.quantize(
        str(path), samples, target, layers=layers, samples=None, calibrator="max", equalize=False, bias_correction=False
    )
    program = made.lower()
    (_, state), (_, after) = program.inputs, program.outputs
    return ig.compile(program.with_states({state: after}), machine="host", directory=directory).stream()


if __name__ == "__main__":
    main(*sys.argv[1:3])
