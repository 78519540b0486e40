"""Read foreign bytes, ONNX or TFLite, as an `onnx_ir.Model`; one clear error if that fails. No code from them runs."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from intaglio.errors import IntaglioError, ModelError
from intaglio.frontends.tflite.read_tflite import is_tflite, read_tflite
from intaglio.graph.access import where

Source = str | os.PathLike[str] | onnx.ModelProto | ir.Model


class OpenedFile(os.PathLike[str]):
    """The path of an ONNX file, with its model where somebody has read it and hands it on.

    Attributes:
        model: what the next `read_model` of this path returns instead of reading the file; who takes it may change it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.model: ir.Model | None = None

    def __fspath__(self) -> str:
        return self.path


@contextlib.contextmanager
def one_error(name: str) -> Iterator[None]:
    """Turn whatever a wrong file sets off into one ModelError: a file can be wrong in more ways than have a text."""
    try:
        yield
    except (IntaglioError, NameError, ImportError):
        raise
    except Exception as error:
        kind, advice = (
            ("TFLite", "convert or copy it again") if is_tflite(name) else ("ONNX", "check it with onnx.checker")
        )
        raise ModelError(
            f"{name}: expected a valid {kind} model, got one that cannot be followed: {_one_line(error)}; {advice}"
        ) from error


@contextlib.contextmanager
def one_node_error(node: ir.Node) -> Iterator[None]:
    """Turn whatever a wrong node sets off into one ModelError that names it, as far as it has no text of its own."""
    try:
        yield
    except (IntaglioError, NameError, ImportError):
        raise
    except Exception as error:
        raise ModelError(
            f"{where(node)} expected a node as ONNX specifies it, got one that is not ({_one_line(error)}); check the "
            "model with onnx.checker, or export it again"
        ) from error


def source_name(source: Source) -> str:
    """Name a model in errors: its path, or the name of its graph."""
    if isinstance(source, (onnx.ModelProto, ir.Model)):
        return source.graph.name or "model"
    return os.fspath(source)


def read_model(source: Source) -> ir.Model:
    """Read an ONNX model from a file, a protobuf or an `onnx_ir.Model`, with all its constants in memory.

    External data are read from the model's own directory only.

    Raises:
        ModelError: the file is missing, truncated or not ONNX, or its constants cannot be read.
    """
    if isinstance(source, OpenedFile) and source.model is not None:
        model, source.model = source.model, None
        return model
    if isinstance(source, ir.Model):
        model = source.clone()
    elif isinstance(source, onnx.ModelProto):
        model = _deserialize(source, "model")
    else:
        model = _read_file(Path(source))
    name = model.graph.name or "model"
    if not model.graph.outputs:
        raise ModelError(f"{name}: expected a graph with outputs, got none; export the model again")
    for graph in _graphs(model):
        _load_constants(graph)
    _sort(model, name)
    _open_sizes_below_one(model.graph)
    return model


def _sort(model: ir.Model, name: str) -> None:
    """Put nodes behind those that they read, as ONNX demands it of a file and not every tool does it."""
    try:
        for graph in (model.graph, *(function.graph for function in model.functions.values())):
            graph.sort()
    except ValueError as error:
        raise ModelError(
            f"{name}: expected nodes that can be put in an order, got a cycle: some node depends on its own result; "
            "export the model again"
        ) from error


def _open_sizes_below_one(graph: ir.Graph) -> None:
    """Turn sizes of -1 and 0, which some exporters write for open ones, into None."""
    for value in graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape([None if isinstance(d, int) and d < 1 else d for d in value.shape.dims])


def _read_file(path: Path) -> ir.Model:
    if not path.exists():
        found = path.with_name(f"{path.name}.onnx")
        raise ModelError(
            f"{path}: expected a model file, got nothing there; "
            + (f"did you mean {found}?" if found.exists() else "check the path")
        )
    if path.is_dir():
        held = path / "model.intaglio"
        raise ModelError(
            f"{path}: expected a model file, got a directory" + (f"; did you mean {held}?" if held.exists() else "")
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror}") from error
    if not content:
        raise ModelError(f"{path}: expected a model, got an empty file")
    if is_tflite(path):
        return read_tflite(content, path.name)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(
            f"{path}: expected an ONNX model, got {len(content)} bytes that are no ONNX or were cut short; "
            "copy or export the file again"
        ) from error
    if not proto.opset_import or not proto.HasField("graph"):
        raise ModelError(f"{path}: expected an ONNX model, got a file without graph or opset; export it again")
    # An absolute directory: onnx_ir skips its containment checks where the directory is the empty string.
    return _deserialize(proto, str(path), path.resolve().parent)


def _deserialize(proto: onnx.ModelProto, name: str, directory: Path | None = None) -> ir.Model:
    if not proto.opset_import or not proto.HasField("graph"):
        raise ModelError(f"{name}: expected an ONNX model, got one without graph or opset")
    _check_names(proto.graph)
    logger = logging.getLogger("onnx_ir.serde")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)  # its warnings become errors below
        model = ir.from_proto(proto)
    except Exception as error:
        raise ModelError(f"{name}: expected an ONNX model, got one that is malformed: {_one_line(error)}") from error
    finally:
        logger.setLevel(level)
    for graph in _graphs(model):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                _resolve(value.const_value, name, directory)
        for node in graph:
            for attribute in node.attributes.values():
                contents = attribute.value if attribute.type == ir.AttributeType.TENSORS else [attribute.value]
                for content in contents or ():
                    if isinstance(content, ir.ExternalTensor):
                        _resolve(content, name, directory)
    _check_sources(model.graph)
    return model


def _check_names(graph: onnx.GraphProto) -> None:
    """Refuse a value that is computed twice: only the first of its nodes would be seen."""
    writers = {value.name: f"input '{value.name}'" for value in graph.input}
    for node in graph.node:
        name = f"[{node.op_type} '{node.name}']"
        for output in filter(None, node.output):
            if output in writers:
                raise ModelError(
                    f"{name} expected a name of its own for its output '{output}', got that of {writers[output]}; "
                    "every value is computed once: export the model again"
                )
            writers[output] = f"an output of {name}"


def _graphs(model: ir.Model) -> Iterator[ir.Graph]:
    """Walk over the graph, the bodies of functions, and every graph inside them."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        yield graph
        yield from graph.subgraphs()


def _check_sources(graph: ir.Graph) -> None:
    """Refuse names that nothing computes: onnx_ir invents values for them."""
    for node in graph:
        for value in node.inputs:
            if (
                value is not None
                and value.producer() is None
                and not (value.is_graph_input() or value.is_initializer())
            ):
                raise ModelError(
                    f"[{node.op_type} '{node.name}'] expected its input '{value.name}' to be an input, a constant or "
                    "computed by a node, got none of these; export the model again"
                )


def _resolve(external: ir.ExternalTensor, name: str, directory: Path | None) -> None:
    if directory is None:
        raise ModelError(
            f"constant '{external.name}': its data lies in the file '{external.location}', expected a model given by "
            "its path, got one in memory; pass the path of the .onnx file"
        )
    path = (directory / external.location).resolve()
    if not path.is_relative_to(directory):
        raise ModelError(
            f"constant '{external.name}': expected external data inside {directory}, got '{external.location}', "
            "which lies outside; such a file is refused"
        )
    if not path.is_file():
        raise ModelError(f"{name}: expected its external data '{external.location}' beside it, got no such file")
    end = (external.offset or 0) + external.nbytes
    if (external.offset or 0) < 0 or path.stat().st_size < end:
        raise ModelError(
            f"constant '{external.name}': expected {end} bytes in '{external.location}', got {path.stat().st_size}; "
            "the file was cut short"
        )
    external.base_dir = directory


def _load_constants(graph: ir.Graph) -> None:
    for value in graph.initializers.values():
        value.const_value = _in_memory(value.const_value, f"constant '{value.name}'")
        value.shape = ir.Shape(value.const_value.shape.numpy())
        value.type = ir.TensorType(value.const_value.dtype)
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                content = _in_memory(
                    attribute.as_tensor(), f"[{node.op_type} '{node.name}'] attribute {attribute.name}"
                )
                node.attributes[attribute.name] = ir.AttrTensor(attribute.name, content)


def _in_memory(content: ir.TensorProtocol | None, where: str) -> ir.TensorProtocol:
    if content is None:
        raise ModelError(f"{where}: expected data, got none")
    if content.dtype == ir.DataType.STRING:
        return content
    try:
        array = np.array(content.numpy(), order="C")
        if array.shape != tuple(content.shape.numpy()):
            raise ValueError(f"shape {array.shape} where {content.shape} was promised")
    except Exception as error:
        raise ModelError(f"{where}: expected {content.dtype} {content.shape}, got: {_one_line(error)}") from error
    if array.dtype.kind in "biuf" and array.dtype.isnative:
        return ir.Tensor(array, name=content.name)
    return ir.Tensor(array, dtype=content.dtype, name=content.name)


def _one_line(error: BaseException) -> str:
    """Keep the first line of the first error: libraries wrap it in others that repeat the whole graph."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
