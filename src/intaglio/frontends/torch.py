"""Load a torch.nn.Module as a Graph, through torch's own exporter."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from intaglio.errors import ModelError, UsageError
from intaglio.frontends.onnx import load_onnx
from intaglio.frontends.torch_batch import batch_dependence
from intaglio.graph.access import constant, input_value
from intaglio.graph.batch import first_batch_mixer, fix_batch
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts

# Most elements of the inputs that other batch sizes are tried with: 256 MiB of float32.
_MOST_ELEMENTS = 2**26
_LOG_LEVELS = {
    **dict.fromkeys(("torch.onnx._internal.exporter", "torch.onnx", "onnxscript"), logging.ERROR),
    "torch.export._trace": logging.CRITICAL,  # its errors are raised too
}


def load_torch(module: torch.nn.Module, example_inputs: Any, *, keep_quantized: bool = False) -> Graph:
    """Load a module as a Graph; parameters keep their names: `conv1.weight` is a constant called `conv1.weight`.

    The module is exported in eval mode and left as it was found.

    Args:
        module: called with `example_inputs`.
        example_inputs: a tensor or array, a tuple or list of them, or a dict of keyword arguments. Only shapes and
            types matter, and that the call works.
        keep_quantized: leave QuantizeLinear and DequantizeLinear in place, where the module writes them.
    Returns:
        The Graph, before any pass of `graph.passes`, with a batch of 1 where samples are kept apart, and with that of
        the example inputs where the module mixes samples or computes with their number; the history says why.
    Raises:
        ModelError: the module fails on the example inputs, the exporter cannot translate it, or its result is refused.
        UsageError: the example inputs are not tensors.
    """
    args, kwargs = _arguments(example_inputs)
    names = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    sizes = _batch_sizes(args, kwargs) - {None}
    if not sizes:
        return _export_as_given(module, args, kwargs, names, keep_quantized)
    depends = None
    try:
        # With two samples any mixing of them shows; with one, torch.export treats the size as a constant.
        graph = _export(module, _with_batch(args, 2), _with_batch(kwargs, 2), names, keep_quantized)
        why = first_batch_mixer(graph.model.graph)
        if why is None:
            why = depends = _dependence(module, args, kwargs)
        if why is None:
            return graph
    except ModelError as error:  # perhaps made for its own number of samples; else it fails again below
        why = f"with two samples it cannot be loaded ({error})"
    size = sizes.pop()
    fixed = why if size != 1 else depends  # for one sample only a computed size is a reason
    graph = _export_as_given(module, args, kwargs, names, keep_quantized, fixed)
    batch_note = f"the batch is fixed to {size}" if not graph.batched else f"loaded with {size} sample"
    graph.history.insert(0, f"{batch_note}, as in the example inputs: {why}")
    return graph


def load_exported(program: torch.export.ExportedProgram, *, keep_quantized: bool = False) -> Graph:
    """A module that `torch.export.export` made a program of, as a Graph; parameters keep their names.

    Args:
        program: exported in eval mode, with an open batch or for one sample. A batch of several samples stays as it is
            where the program has its size in it, as `view` writes it.
        keep_quantized: see `load_torch`.
    Returns:
        The Graph, before any pass of `graph.passes`.
    Raises:
        ModelError: torch.onnx cannot translate the program, or the result is no Graph.
    """
    with quiet():
        return _translated(program, (), None, set(program.state_dict), type(program).__name__, keep_quantized)


def _dependence(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Find out how a module that seems to keep its samples apart depends on the size of its batch."""

    def export(size: int) -> torch.export.ExportedProgram:
        with inference(module), quiet():
            try:
                return torch.export.export(module, _with_batch(args, size), _with_batch(kwargs, size), strict=False)
            except Exception as error:
                raise ModelError(f"{type(module).__name__}: torch.export says: {one_line(error)}") from error

    elements = sum(value[:1].numel() for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
    many = 61 if 61 * elements < _MOST_ELEMENTS else 3
    return batch_dependence(export, 2, (many, 1))


def _arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, dict):
        return (), {name: _tensor(value) for name, value in example_inputs.items()}
    if isinstance(example_inputs, (tuple, list)):
        return tuple(_tensor(value) for value in example_inputs), {}
    tensor = _tensor(example_inputs)
    if not isinstance(tensor, torch.Tensor):
        raise UsageError(
            f"example_inputs: expected a tensor, an array, or a tuple or dict of them, got "
            f"{type(example_inputs).__name__}"
        )
    return (tensor,), {}


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _batch_sizes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int | None]:
    """Get the size of axis 0, if all tensors share one; empty otherwise."""
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    sizes = {int(value.shape[0]) if value.ndim else None for value in tensors}
    return sizes if len(sizes) == 1 else set()


def _with_batch(values: Any, batch: int) -> Any:
    """Change the number of samples of arguments, by repeating the first one."""
    if isinstance(values, dict):
        return {name: _with_batch((value,), batch)[0] for name, value in values.items()}
    return tuple(
        value[:1].repeat(batch, *[1] * (value.ndim - 1)) if isinstance(value, torch.Tensor) else value
        for value in values
    )


def _export(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: set[str],
    keep_quantized: bool,
    fixed: str | None = None,
) -> Graph:
    """Export through torch.onnx.export; `fixed` says why the size of the batch must stay."""
    with inference(module), quiet():
        return _translated(module, args, kwargs, names, type(module).__name__, keep_quantized, fixed)


def _export_as_given(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: set[str],
    keep_quantized: bool,
    fixed: str | None = None,
) -> Graph:
    """Export with the example inputs as they are; if it fails, say first whether the module takes them at all."""
    try:
        return _export(module, args, kwargs, names, keep_quantized, fixed)
    except ModelError:
        _check_forward(module, args, kwargs)
        raise


def takes(module: torch.nn.Module, example_inputs: Any) -> bool:
    """Tell whether a module can be called with example inputs; see `load_torch`."""
    try:
        _check_forward(module, *_arguments(example_inputs))
    except ModelError:
        return False
    return True


def _check_forward(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call the module outside the exporter, whose messages hide that the example inputs are wrong.

    Raises:
        ModelError: the call fails.
    """
    try:
        with inference(module):
            module(*args, **kwargs)
    except Exception as error:
        given = [_described(value) for value in args] + [f"{name} {_described(kwargs[name])}" for name in kwargs]
        raise ModelError(
            f"{type(module).__name__}: expected example inputs (by default the first sample of the data) that the "
            f"module can be called with, got {', '.join(given)}: {one_line(error)}; {_remedy(module)}"
        ) from error


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return repr(value)[:60]


def _remedy(module: torch.nn.Module) -> str:
    """Say what to change: the module's parameters, if they are not float32 on the CPU, else the inputs."""
    for parameter in module.parameters():
        if parameter.device.type != "cpu":
            return f"the module is on {parameter.device}: call module.cpu() first"
        if parameter.is_floating_point() and parameter.dtype is not torch.float32:
            return f"the module is {str(parameter.dtype).removeprefix('torch.')}: call module.float() first"
    return "check the number and order of axes, and the names of inputs in a dict"


def _translated(
    module: torch.nn.Module | torch.export.ExportedProgram,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    names: set[str],
    name: str,
    keep_quantized: bool,
    fixed: str | None = None,
) -> Graph:
    try:
        # Without its optimizer, which would fold batch norms and rename constants: graph.passes does that.
        program = torch.onnx.export(module, args, kwargs=kwargs, dynamo=True, optimize=False, verbose=False)
    except Exception as error:
        raise ModelError(
            f"{name}: expected a module that torch.onnx.export can translate, got: {one_line(error)}; "
            "rewrite what it names, or export the module to ONNX yourself"
        ) from error
    assert program is not None
    model = program.model
    drop_invented_biases(model, names)
    if fixed is not None:
        fix_batch(model.graph, fixed)
    return load_onnx(model, keep_quantized=keep_quantized, name_outputs=True)


def one_line(error: Exception) -> str:
    """Write the cause of an error in one line."""
    return " ".join(str(error.__cause__ or error).split())[:400]


def drop_invented_biases(model: ir.Model, names: set[str]) -> None:
    """Remove the zeros that the exporter writes where a convolution has no bias; `names` are those of parameters."""
    for node in model.graph:
        bias = input_value(node, 2)
        row = facts(node.op_type)
        if not (row.product and row.channels_first) or bias is None or bias.name in names:
            continue
        array = constant(bias)
        producer = bias.producer()
        if (array is not None and not array.any()) or (producer is not None and producer.op_type == "Expand"):
            node.replace_input_with(2, None)


@contextlib.contextmanager
def inference(module: torch.nn.Module) -> Iterator[None]:
    """Put the whole module in eval mode, and afterwards every part back in its own mode."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings of the exporter about itself (missing torchvision, its own deprecations)."""
    loggers = [logging.getLogger(name) for name in _LOG_LEVELS]
    levels = [logger.level for logger in loggers]
    children = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.startswith("torch.onnx.") and isinstance(logger, logging.Logger)
    ]
    disabled = [logger.disabled for logger in children]
    try:
        for logger in loggers:
            logger.setLevel(_LOG_LEVELS[logger.name])
        for logger in children:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for logger, state in zip(children, disabled, strict=True):
            logger.disabled = state
