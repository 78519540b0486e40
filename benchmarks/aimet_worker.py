"""Quantize a network with aimet-onnx and write the predictions of its simulation; run by `accuracy_peers.py`.

Usage: AIMET_PYTHON benchmarks/aimet_worker.py MODEL.onnx ARRAYS.npz PREDICTIONS.npy channel|tensor [equalize]

aimet-onnx pins its own versions of packages, so it runs in a separate environment and this file does not import
intaglio. ARRAYS holds `calibration` and `test`, with samples along axis 0. Activations are u8 with min-max, weights s8
symmetric with min-max, as in aimet's default configuration. `equalize` runs its cross-layer equalization first.
"""

import sys
from pathlib import Path

import aimet_onnx
import numpy as np
import onnx
from aimet_onnx.cross_layer_equalization import equalize_model
from aimet_onnx.quantsim import QuantizationSimModel


def batches(session, x):
    """Yield inputs by name, in batches of the size that the model allows."""
    wanted = session.get_inputs()[0]
    size = wanted.shape[0] if isinstance(wanted.shape[0], int) else 50
    for start in range(0, len(x), size):
        yield {wanted.name: x[start : start + size]}


def main():
    """Quantize, run the test samples and write the predictions."""
    model, arrays, output, granularity, *more = sys.argv[1:]
    config = "default_config_per_channel.json" if granularity == "channel" else "default_config.json"
    data = np.load(arrays)
    proto = onnx.load(model)
    if more:
        equalize_model(proto)
    simulation = QuantizationSimModel(
        proto,
        param_type="int8",
        activation_type="int8",
        quant_scheme="min_max",
        config_file=str(Path(aimet_onnx.__file__).parent / "common" / "quantsim_config" / config),
        session_options_kwargs={"intra_op_num_threads": 1},
    )

    def forward(session):
        for feed in batches(session, data["calibration"]):
            session.run(None, feed)

    simulation.compute_encodings(forward)
    scores = [simulation.session.run(None, feed)[0] for feed in batches(simulation.session, data["test"])]
    np.save(output, np.concatenate([y.reshape(len(y), -1).argmax(axis=1) for y in scores]))


if __name__ == "__main__":
    main()
