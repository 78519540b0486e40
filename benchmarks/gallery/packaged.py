"""Trained .onnx files out of public packages, where a folder of them is at hand: sizes and inputs that suit each.

`docs/benchmark-data.md` says where they come from. A file that is not listed here is driven with normal numbers, its
open sizes 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gallery.network import sequence, wave
from gallery.stages import Case, Sample

CALIBRATION, TESTS = 32, 8


@dataclass(frozen=True)
class Packaged:
    """What a file needs.

    Args:
        inputs: makes one array for each input, of the shape that the network is then used at.
        constants: inputs that are the same for every sample.
    """

    inputs: Mapping[str, Callable[[torch.Generator], NDArray[Any]]]
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def case(path: Path) -> Case:
    """Make the inputs of a file."""
    known = PACKAGED.get(path.name) or _unknown(path)
    samples = [_sample(known, seed) for seed in range(CALIBRATION + TESTS)]
    options: dict[str, Any] = {"shapes": {name: x.shape for name, x in samples[0].items()}}
    if known.constants:
        options["constants"] = dict(known.constants)
    return Case(path, samples[:CALIBRATION], samples[CALIBRATION:], options, known.constants, {})


def _sample(known: Packaged, seed: int) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    return {name: make(generator) for name, make in known.inputs.items()}


def _unknown(path: Path) -> Packaged:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in session.get_inputs()}
    return Packaged({name: _normal(*shape) for name, shape in shapes.items()})


def _normal(*shape: int, scale: float = 1.0) -> Callable[[torch.Generator], NDArray[Any]]:
    return lambda generator: scale * torch.randn(shape, generator=generator).numpy()


def _sound(*shape: int, scale: float = 0.1) -> Callable[[torch.Generator], NDArray[Any]]:
    def make(generator: torch.Generator) -> NDArray[Any]:
        return scale * wave(int(np.prod(shape)))(generator, 1).numpy().reshape(shape)

    return make


def _letters(height: int, width: int) -> Callable[[torch.Generator], NDArray[Any]]:
    """Make pictures of random letters, dark on light."""

    def make(generator: torch.Generator) -> NDArray[Any]:
        codes = torch.randint(65, 91, (height // 32, width // 16), generator=generator)
        picture = Image.new("L", (width, height), 220)
        text = "\n".join("".join(chr(code) for code in row) for row in codes.tolist())
        ImageDraw.Draw(picture).text((4, 2), text, fill=30, font=ImageFont.load_default(size=24))
        grey = torch.from_numpy(np.array(picture)).float() / 127.5 - 1
        return (grey + 0.05 * torch.randn(1, 3, height, width, generator=generator)).numpy()

    return make


def _bytes(length: int) -> Callable[[torch.Generator], NDArray[Any]]:
    """Make the first bytes of a text file."""
    return lambda generator: torch.randint(32, 127, (1, length), generator=generator).int().numpy()


def _frames(*shape: int, scale: float = 1.0) -> Callable[[torch.Generator], NDArray[Any]]:
    """Make features that change slowly along the second last of the axes."""

    def make(generator: torch.Generator) -> NDArray[Any]:
        return scale * sequence(int(np.prod(shape[:-1])), shape[-1])(generator, 1).numpy().reshape(shape)

    return make


RATE = {"sr": np.array(16000, np.int64)}
PACKAGED = {
    "aecmos_gru.onnx": Packaged({"input": _frames(1, 3, 64, 160), "h0": _normal(4, 1, 64, scale=0.1)}),
    "dnsmos_sig.onnx": Packaged({"input_1": _frames(1, 901, 161)}),
    "magika.onnx": Packaged({"bytes": _bytes(2048)}),
    "melspectrogram.onnx": Packaged({"input": _sound(1, 4000, scale=3000)}),
    "ppocr_v2_cls.onnx": Packaged({"x": _letters(48, 192)}),
    "ppocr_v4_det.onnx": Packaged({"x": _letters(96, 96)}),
    "silero_vad_v6_16k_op15.onnx": Packaged({"input": _sound(1, 576), "state": _normal(2, 1, 128, scale=0.3)}, RATE),
    "silero_vad_v6_16k_sequence.onnx": Packaged(
        {"input": _sound(4, 576), "h": _normal(1, 1, 128, scale=0.3), "c": _normal(1, 1, 128, scale=0.3)}
    ),
    "silero_vad_v6_ifless.onnx": Packaged({"input": _sound(1, 576), "state": _normal(2, 1, 128, scale=0.3)}, RATE),
    "speech_embedding.onnx": Packaged({"input_1": lambda generator: 2 + _frames(1, 76, 32)(generator)[..., None]}),
    "swift_f0.onnx": Packaged(
        {"audio": _sound(1, 8000)}, {"fmin": np.array(50, np.float32), "fmax": np.array(2000, np.float32)}
    ),
    "wakeword_lstm_mycroft.onnx": Packaged({"input_1": _frames(1, 16, 96, scale=10)}),
}
