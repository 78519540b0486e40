"""Read the MODEL argument and its options: load a Graph, a Quantized or a Program."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.cli.picture_options import NO_DATA, described
from intaglio.errors import UsageError
from intaglio.workflow.open_model import open_model

if TYPE_CHECKING:
    from intaglio.graph import Graph
    from intaglio.workflow.open_model import Opened

MODEL = "MODEL: .onnx, .tflite, .keras, .h5, .intaglio, or package.module:factory for a PyTorch module or Keras model"
PROGRAM = "PROGRAM: a .intaglio file, or a quantized .onnx or .tflite file, which keeps its scales"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a MODEL is read."""
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,H,W",
        help="fix the shape of an input with dynamic sizes (ONNX and Keras files; may be repeated)",
    )
    parser.add_argument(
        "--constant",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace an input by a constant: one number, which fills any static shape, or a vector such as 0.5,1 "
        "(ONNX "
        "files; may be repeated)",
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="state dict for package.module:factory, loaded without running code"
    )
    parser.add_argument(
        "--example-shape",
        metavar="1,3,H,W",
        help="input shape for package.module:factory (default: that of the first sample of --data)",
    )


def load_graph(args: argparse.Namespace, name: str) -> Graph:
    """Load a float network and run the graph passes.

    Raises:
        ModelError, UsageError: it cannot be read.
    """
    from intaglio.frontends import load

    if _names_a_factory(name):
        return load(*_made(args, name))
    _refuse_factory_options(args, name)
    return load(name, shapes=parse_shapes(args.shape), constants=parse_constants(args.constant))


def load_raw_graph(args: argparse.Namespace, name: str) -> Graph:
    """Load a float network without graph passes, so that batch norms are not folded.

    Raises:
        ModelError, UsageError: it cannot be read.
    """
    from intaglio.frontends import load_unprepared

    if _names_a_factory(name):
        return load_unprepared(*_made(args, name))
    _refuse_factory_options(args, name)
    return load_unprepared(name, shapes=parse_shapes(args.shape), constants=parse_constants(args.constant))


def _names_a_factory(name: str) -> bool:
    return ":" in name and not os.path.exists(name)


def _refuse_factory_options(args: argparse.Namespace, name: str) -> None:
    """Refuse options of PyTorch factories for another kind of model, unless they belong to another of the models."""
    models = [args.a, args.b] if "a" in args else [args.model] if isinstance(args.model, str) else args.model
    if any(_names_a_factory(other) for other in models):
        return
    for option, given in (("--weights", args.weights), ("--example-shape", args.example_shape)):
        if given is not None:
            raise UsageError(f"{name}: expected {option} only beside package.module:factory, got it beside a file")


def _refuse_options(args: argparse.Namespace, name: str, kind: str) -> None:
    """Refuse ONNX options for another kind of model; with `compare` they may belong to the other of its two models."""
    others = {args.a, args.b} - {name} if "a" in args else set()
    readers = {"--shape": (".onnx", ".tflite", ".keras", ".h5"), "--constant": (".onnx", ".tflite")}
    for option, given in (("--shape", args.shape), ("--constant", args.constant)):
        if given and not any(Path(other).suffix.lower() in readers[option] for other in others):
            kinds = " or ".join(readers[option])
            raise UsageError(f"{name}: expected {option} only with a file {kinds}, got it with {kind}")


def _made(args: argparse.Namespace, name: str) -> tuple[Any, Any]:
    """Call a PyTorch factory; return its module and example inputs."""
    _refuse_options(args, name, "a factory, whose inputs are made with --example-shape")
    shape = None if args.example_shape is None else parse_shape(args.example_shape, "--example-shape")
    from intaglio.frontends.factory import load_module
    from intaglio.module_inputs import knows_its_inputs

    module = load_module(name, args.weights)
    if knows_its_inputs(module) and shape is None:
        return module, None
    return module, _first_sample(args, name, module) if shape is None else _example(shape)


def _first_sample(args: argparse.Namespace, name: str, module: Any) -> Any:
    """Take the first sample of --data as example inputs.

    Raises:
        UsageError: the command has no data, or they do not say where a sample ends, or can be read only once.
        DataError: the data cannot be read.
    """
    needs = f"{name}: a PyTorch factory needs --example-shape, for example 1,3,224,224"
    data = getattr(args, "data", None)
    if data is None or data in NO_DATA:
        raise UsageError(f"{needs}, where no --data give the shape")
    from intaglio.module_inputs import first_sample

    way = "give --example-shape, such as 1,3,224,224"
    dataset, inputs = first_sample(module, described(args, data)[0], way, name=name)
    if dataset.once:
        raise UsageError(f"{needs}, where --data can be read only once")
    return inputs


def load_any_or_quantized(args: argparse.Namespace, name: str) -> Opened:
    """Load a Program from .intaglio, a Quantized from a quantized file, a float network from anything else."""
    if _names_a_factory(name):
        return load_graph(args, name)
    if Path(name).suffix == ".intaglio":
        _refuse_options(args, name, "a program, whose inputs are fixed")
    _refuse_factory_options(args, name)
    return open_model(name, shapes=parse_shapes(args.shape), constants=parse_constants(args.constant))


def _example(shape: tuple[int, ...]) -> Any:
    import torch

    return (torch.zeros(shape),)


def parse_shapes(texts: list[str]) -> dict[str, tuple[int, ...]] | None:
    """Parse `NAME=1,3,H,W` options into shapes by input name."""
    shapes = {}
    for text in texts:
        name, equals, sizes = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--shape: expected NAME=1,3,H,W, got {text!r}")
        if name in shapes:
            raise UsageError(f"--shape: expected one shape for '{name}', got another with {text!r}")
        shapes[name] = parse_shape(sizes, "--shape")
    return shapes or None


def parse_constants(texts: list[str]) -> dict[str, Any] | None:
    """Parse `NAME=16000` or `NAME=0.5,1` options into numbers by input name."""
    constants: dict[str, Any] = {}
    for text in texts:
        name, equals, numbers = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--constant: expected NAME=VALUE such as sr=16000, got {text!r}")
        if name in constants:
            raise UsageError(f"--constant: expected one value for '{name}', got another with {text!r}")
        values = [_number(part, text) for part in numbers.split(",")]
        constants[name] = values if len(values) > 1 else values[0]
    return constants or None


def _number(text: str, whole: str) -> int | float | bool:
    boolean = {"true": True, "false": False}.get(text.strip().lower())
    if boolean is not None:
        return boolean
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise UsageError(f"--constant: expected a number, true or false after NAME=, got {whole!r}")


def parse_shape(text: str, option: str) -> tuple[int, ...]:
    """Parse a shape such as `1,3,224,224`."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f"{option}: expected positive sizes such as 1,3,224,224, got {text!r}")
    return shape


def parse_range(text: str | None) -> tuple[float, float] | None:
    """Parse a range `LOW,HIGH`."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--input-range: expected LOW,HIGH such as 0,1 or -2.2,2.7, got {text!r}") from None
    return low, high
