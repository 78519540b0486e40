"""Probabilities of a voice-activity detector that runs as a stream, in float and in integers.

INTAGLIO_DATA=../shared/data python benchmarks/voice_activity.py FOLDER_OF_WAV_FILES [TARGET]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.utils
import onnxruntime
from numpy.typing import NDArray
from speech import RATE, Sound, mixed, pink_noise, read_folder

import intaglio as ig

FRAME, CONTEXT, PAUSE = 512, 64, RATE  # samples
RATIOS = (20.0, 10.0, 5.0, 30.0)
NEAR = 0.02
STATE, MAGNITUDES = (2, 1, 128), "/model/stft/Sqrt_output_0"
Array = NDArray[np.float32]


def recordings(folder: Path) -> list[Sound]:
    """Put a pause before and after each sound, and noise over all of it."""
    rng, found = np.random.default_rng(0), []
    for i, sound in enumerate(read_folder(folder).values()):
        clean = np.pad(sound, PAUSE)
        found.append(mixed(clean, pink_noise(rng, len(clean)), RATIOS[i % len(RATIOS)]))
    return found


def frames(sound: Sound) -> Iterator[Array]:
    """Cut a sound into frames, each behind the end of the one before."""
    padded = np.pad(sound, (CONTEXT, 0))
    for at in range(0, len(sound) - FRAME + 1, FRAME):
        yield padded[None, at : at + CONTEXT + FRAME]


def extracted(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """Cut a part out of a network."""
    return onnx.utils.Extractor(model).extract_model(inputs, outputs)


def main(folder: str, target: str = "int16x8") -> None:
    """Print how far the probabilities are from those of the float network, as it is and without its spectrum."""
    path = Path(os.environ.get("INTAGLIO_DATA", "../shared/data")) / "packaged" / "silero_vad_v6_16k_op15.onnx"
    shapes = {"input": (1, FRAME + CONTEXT), "state": STATE}
    model = ig.load(str(path), shapes=shapes, constants={"sr": RATE}).proto()
    spectrum = float_network(extracted(model, ["input"], [MAGNITUDES]))
    sounds = [list(frames(sound)) for sound in recordings(Path(folder))]
    inner = [[spectrum({"input": x})[0] for x in sound] for sound in sounds]
    compare(f"{target}, whole network", model, "input", sounds, target)
    compare(
        f"{target}, spectrum in float",
        extracted(model, [MAGNITUDES, "state"], ["output", "stateN"]),
        MAGNITUDES,
        inner,
        target,
    )


def float_network(model: onnx.ModelProto) -> Callable[[dict[str, Array]], list[Array]]:
    """Run a network in ONNX Runtime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda data: session.run(None, data)


def compare(name: str, model: onnx.ModelProto, of: str, sounds: list[list[Array]], target: str) -> None:
    """Quantize a network on a third of the sounds, and run it as a stream on the others.

    Args:
        name: what is printed.
        model: the network.
        of: its input that is no state.
        sounds: the frames of each sound.
        target: of quantization.
    """
    run, real, states = float_network(model), [], []
    for sound in sounds:
        state: Array = np.zeros(STATE, np.float32)
        for x in sound:
            states.append(state)
            y, state = run({of: x, "state": state})
            real.append(float(y[0, 0]))
    numbers = np.repeat(np.arange(len(sounds)), [len(sound) for sound in sounds])
    chosen = numbers % 3 == 0
    data = {
        of: np.concatenate([x for sound in sounds[::3] for x in sound]),
        "state": np.stack([state for state, used in zip(states, chosen, strict=True) if used]),
    }
    program = ig.quantize(ig.load(model), data, target=target, samples=None).lower().with_states({"state": "stateN"})
    with tempfile.TemporaryDirectory() as directory:
        stream, integer = ig.compile(program, machine="host", directory=directory).stream(), []
        for i, sound in enumerate(sounds):
            stream.reset()
            integer += [float(stream.step(x)[0, 0]) for x in sound] if i % 3 else [0.0] * len(sound)
    got, want = np.array(integer)[~chosen], np.array(real)[~chosen]
    errors = np.abs(got - want)
    print(
        f"{name}: {len(got)} frames, {len(got) * FRAME / RATE:.0f} s: {100 * np.mean(errors <= NEAR):.1f} % within "
        f"{NEAR} of float, largest difference {errors.max():.3f}, "
        f"{np.sum((got > 0.5) != (want > 0.5))} decisions at 0.5 differ"
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])
