"""Train the networks that `intaglio sample` writes, and export them to ONNX.

    OMP_NUM_THREADS=1 python examples/train_samples.py resnet8 -o resnet8.onnx

The package's digits and resnet8 are what this script writes. Its keyword was trained before the sounds were rounded to
16 bits: this script gives other weights and 94.75 % instead of 96.00 % on the test data. A training takes some minutes
on one processor. Other versions of PyTorch and other processors give slightly other weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intaglio.zoo.digit_images import digits_data
from intaglio.zoo.digits import DigitsNet
from intaglio.zoo.drawn_pictures import drawn_pictures, picture_inputs
from intaglio.zoo.ds_cnn import DsCnn
from intaglio.zoo.resnet8 import ResNet8
from intaglio.zoo.sample_networks import PICTURES, SOUNDS
from intaglio.zoo.synthetic_words import synthetic_words, word_features

Part = tuple[np.ndarray, np.ndarray]
BATCH, HIGHEST_RATE = 64, 0.01
MODULES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"
"""Notes of PyTorch's exporter about the modules that a node comes from; layers get their names from them."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        network: makes the module.
        data: returns the inputs and classes of "train" or "test".
        epochs: passes over the training data.
        augment: changes a batch of inputs.
    """

    network: Callable[[], nn.Module]
    data: Callable[[str], Part]
    epochs: int
    augment: Callable[[Tensor], Tensor] = lambda x: x


def digits(part: str) -> Part:
    """Return handwritten digits."""
    return getattr(digits_data(), part)


def words(part: str) -> Part:
    """Return features of synthesized words."""
    sounds, labels = synthetic_words(part, {**SOUNDS, "train": 3000}[part])
    return word_features(sounds), labels


def pictures(part: str) -> Part:
    """Return drawn pictures."""
    drawn, labels = drawn_pictures(part, {**PICTURES, "train": 5000}[part])
    return picture_inputs(drawn), labels


def mirror(x: Tensor) -> Tensor:
    """Mirror half of the pictures from left to right, and half of them along the diagonal."""
    sides, diagonal = torch.rand(2, len(x), 1, 1, 1) < 0.5
    x = torch.where(sides, x.flip(3), x)
    return torch.where(diagonal, x.transpose(2, 3), x)


RECIPES = {
    "digits": Recipe(DigitsNet, digits, epochs=20),
    "keyword": Recipe(DsCnn, words, epochs=10),
    "resnet8": Recipe(ResNet8, pictures, epochs=14, augment=mirror),
}


def train(recipe: Recipe, seed: int = 0) -> tuple[nn.Module, float]:
    """Train with Adam, the learning rate rising and falling once.

    Runs on one thread, so that the same seed gives the same weights whatever the number of cores.

    Returns:
        The module in evaluation mode, and its accuracy on the test data in percent.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # Convolutions on the CPU are faster with the channels last.
            module = recipe.network().to(memory_format=torch.channels_last)
            x, y = map(torch.from_numpy, recipe.data("train"))
            steps = recipe.epochs * -(-len(y) // BATCH)
            optimizer = torch.optim.Adam(module.parameters())
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, HIGHEST_RATE, steps, pct_start=0.2)
            for _ in range(recipe.epochs):
                for rows in torch.randperm(len(y)).split(BATCH):
                    batch = recipe.augment(x[rows]).contiguous(memory_format=torch.channels_last)
                    optimizer.zero_grad()
                    F.cross_entropy(module(batch), y[rows]).backward()
                    optimizer.step()
                    schedule.step()
        module.eval().to(memory_format=torch.contiguous_format)  # a pool with channels last would be exported as Gather
        test, labels = recipe.data("test")
        with torch.no_grad():
            predicted = module(torch.from_numpy(test)).argmax(1).numpy()
    finally:
        torch.set_num_threads(threads)
    return module, 100 * float(np.mean(predicted == labels))


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
    graph = model.graph
    for described in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        described.ClearField("doc_string")
        kept = [note for note in described.metadata_props if note.key in MODULES]
        del described.metadata_props[:]
        described.metadata_props.extend(kept)
    # ONNX Runtime's quantizer transposes weights and takes a shape that stands beside a weight for an error then.
    weights = {weight.name for weight in graph.initializer}
    shapes = [value for value in graph.value_info if value.name not in weights]
    del graph.value_info[:]
    graph.value_info.extend(shapes)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def main() -> None:
    """Train one network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    recipe = RECIPES[args.name]
    module, accuracy = train(recipe)
    print(f"{args.name}: {accuracy:.2f} % on the test data")
    export(module, recipe.data("test")[0].shape[1:], args.output)


if __name__ == "__main__":
    main()
