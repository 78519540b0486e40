"""Train the networks that `intaglio sample` writes, and export them to ONNX.

    OMP_NUM_THREADS=1 python examples/train_samples.py digits -o digits.onnx

The package has the files that this script wrote. Other versions of PyTorch give slightly other weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import nn

from intaglio.zoo.digits import train_digits

RECIPES: dict[str, tuple[Callable[[], tuple[nn.Module, float]], tuple[int, ...]]] = {
    "digits": (train_digits, (1, 8, 8)),
}
"""Name -> (function that returns the trained module and its test accuracy in percent, shape of one input)."""


def export(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write an ONNX file for any batch size, without the traces of source files that PyTorch adds."""
    program = torch.onnx.export(
        module,
        (torch.zeros(2, *shape),),
        input_names=["input"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for described in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        described.ClearField("metadata_props")
    for named in (*model.graph.value_info, *model.graph.initializer, *model.graph.node):
        named.ClearField("doc_string")
        named.ClearField("metadata_props")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def main() -> None:
    """Train one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    train, shape = RECIPES[args.name]
    module, accuracy = train()
    print(f"{args.name}: {accuracy:.2f} % on the test data")
    export(module, shape, args.output)


if __name__ == "__main__":
    main()
