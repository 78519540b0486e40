"""`python -m intaglio.demo [DIR]`: the main job on a small network that is trained here and now."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import intaglio as ig
from intaglio.cli.output import whole_folder
from intaglio.data import open_data
from intaglio.errors import IntaglioError
from intaglio.job import quantize_job
from intaglio.zoo.digits import digits_data, train_digits


def main(directory: str = "build/demo") -> int:
    """Train, quantize, measure; results go to `directory`."""
    print("training a small network on scikit-learn's digits ...", flush=True)
    module, accuracy = train_digits()
    print(f"trained: {accuracy:.2f} % on the test part (PyTorch)")
    digits = digits_data()
    with whole_folder(Path(directory)) as folder:
        quantize_job(
            lambda: ig.load(module, digits.calib[0][:1]),
            open_data(digits.calib[0]),
            folder,
            eval_data=open_data(digits.test),
            show=sys.stdout,
        )
    x, y = digits.test
    program = ig.load_program(Path(directory) / "model.intaglio")
    right = int((program.run(x).argmax(1) == y).sum())
    codes = program.run_int(*program.quantize_inputs(x))
    exact = np.array_equal(
        codes, np.concatenate([program.run_int(*program.quantize_inputs(x[i : i + 1])) for i in range(len(x))])
    )
    print(f"read back from {directory}/model.intaglio: {right} of {len(y)} right, {codes.dtype} outputs")
    print(f"one sample at a time gives {'the same integers' if exact else 'OTHER INTEGERS'}")
    print(f"open {directory}/report.html")
    return 0 if exact else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:2]))
    except IntaglioError as error:
        sys.exit(f"error: {error}")
