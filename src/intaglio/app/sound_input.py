"""Sounds: from a WAV file to codes of the model's input, as `data.cepstrum.Cepstrum` prepares them."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from intaglio.app.csv_input import quantization_macros
from intaglio.app.pieces import Example, Piece
from intaglio.data.cepstrum import Cepstrum
from intaglio.data.sounds import SoundFolder, read_wav
from intaglio.errors import CompileError
from intaglio.program import TensorInfo


def sound_input(info: TensorInfo, source: SoundFolder) -> Piece:
    """Make the piece that reads sounds.

    Args:
        info: the model's input.
        source: sounds in the shape of the model's input.
    Raises:
        CompileError: the model does not take such coefficients.
    """
    cepstrum = source.cepstrum
    if [n for n in info.shape if n != 1] != [n for n in cepstrum.shape if n != 1] or info.params is None:
        frames, values = cepstrum.shape
        raise CompileError(
            f"input '{info.name}': expected real numbers of shape {info.shape}, got {frames} frames with {values} "
            "values from [sound] of the data descriptor"
        )
    return Piece(
        sources=("read_wav", "prepare_sound"),
        headers=("quantize_real",),
        body="    return prepare_sound(bytes, size, &sound, input, error);\n",
        tables=_tables(cepstrum),
        macros={"APP_FFT": cepstrum.fft, "APP_BANDS": cepstrum.bands, **quantization_macros(info)},
    )


def sound_example(source: SoundFolder) -> Example:
    """Write the first sound as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(source.cepstrum.rate)
        file.writeframes(read_wav(source.files[0], source.cepstrum.rate).astype("<i2").tobytes())
    return Example(".wav", buffer.getvalue())


def _tables(c: Cepstrum) -> str:
    weights = c.mel_weights()
    bands: list[str] = []
    used: list[float] = []
    for row in weights:
        places = np.flatnonzero(row)
        first, count = (int(places[0]), int(places[-1] - places[0] + 1)) if len(places) else (0, 0)
        bands.append(f"{{{first}, {count}, {len(used)}}}")
        used += row[first : first + count].tolist()
    cosines, sines = c.roots()
    arrays = {
        "hann": c.hann(),
        "cosines": cosines,
        "sines": sines,
        "mel_weights": np.array(used, np.float32),
        "dct": c.dct(),
    }
    numbers = {
        "rate": c.rate, "samples": c.samples, "frames": c.shape[0], "window": c.window, "stride": c.stride,
        "bands": c.bands, "coefficients": c.coefficients, "magnitude": int(c.power == 1),
    }  # fmt: skip
    members = [f".{name} = {value}" for name, value in numbers.items()]
    members += [f".floor = {_literal(np.float32(c.floor))}", ".mel = mel"]
    members += [f".{name} = {name}" for name, values in arrays.items() if values.size]
    text = "".join(_float_array(name, values) for name, values in arrays.items() if values.size)
    text += f"static const struct mel_band mel[{c.bands}] = {{\n{_lines(bands)}}};\n"
    return text + "static const struct sound_settings sound = {\n" + _lines(members) + "};\n"


def _float_array(name: str, values: NDArray[np.float32]) -> str:
    return f"static const float {name}[{values.size}] = {{\n{_lines(map(_literal, values.reshape(-1)))}}};\n"


def _literal(value: np.float32) -> str:
    """Format a float exactly, in hexadecimal."""
    return f"{float(value).hex()}f"


def _lines(items: Iterable[str], per_line: int = 4) -> str:
    given = list(items)
    rows = [", ".join(given[i : i + per_line]) for i in range(0, len(given), per_line)]
    return ",\n".join(f"    {row}" for row in rows) + "\n"
