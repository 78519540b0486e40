"""Load ONNX models as Graphs in normal form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends import static
from intaglio.frontends.bind import Constants, bind_inputs, check_single_integers
from intaglio.frontends.contrib_operators import expand_contrib, is_contrib
from intaglio.frontends.cut_tail import may_have_tail
from intaglio.frontends.fold import fold, lift_constants, turn_weights
from intaglio.frontends.module_names import name_by_modules
from intaglio.frontends.open_batch import with_static_batch
from intaglio.frontends.opset_upgrade import upgrade_opset
from intaglio.frontends.quantized.float_weights import float_weights
from intaglio.frontends.quantized.quantized_operators import check_foreign, is_known_foreign
from intaglio.frontends.read import Source, one_error, read_model, source_name
from intaglio.frontends.recurrent_layers import split_recurrent_layers
from intaglio.frontends.tflite.read_tflite import NOTES
from intaglio.frontends.tidy import check_finite, name_nodes, remove_identities, to_float32
from intaglio.graph.access import where
from intaglio.graph.edit import remove_unread, split_shared_constants
from intaglio.graph.graph import NORMAL_OPSET, Graph
from intaglio.graph.integer_inputs import INTEGER_INPUTS
from intaglio.graph.tail import Tail

_OLDEST_OPSET = 7
_CUT = "intaglio.tail"
"""Key of a graph whose post-processing is cut off."""


def load_onnx(
    source: Source,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    *,
    constants: Constants | None = None,
    keep_quantized: bool = False,
    name_outputs: bool = False,
) -> Graph:
    """Load an ONNX model as a Graph in normal form, without running it.

    An open batch becomes 1, and so does a fixed one where the model treats its samples apart (`Graph.batched`).

    Args:
        source: path, `onnx.ModelProto` or `onnx_ir.Model` (left as it is).
        shapes: sizes by input name for what the model leaves open, such as {"input": (None, 3, 224, 224)}.
        constants: inputs that are the same for every sample, by name, such as {"sr": 16000}: numbers or arrays.
        keep_quantized: load a file that another tool quantized, its QuantizeLinear and the like kept in place.
        name_outputs: rename the network's outputs after modules, as the values inside (see `module_names`).
    Returns:
        The Graph, before any pass of `graph.passes`.
    Raises:
        ModelError: the file cannot be read or understood; names file, node or constant.
        UnsupportedOperatorError: an operator outside ONNX, or one that has no form in the normal opset.
    """
    with one_error(source_name(source)):
        return _load(read_model(source), dict(shapes or {}), constants or {}, keep_quantized, name_outputs)


def _load(
    model: ir.Model, shapes: static.Shapes, constants: Constants, keep_quantized: bool, name_outputs: bool
) -> Graph:
    version = _check_opset(model)
    notes = model.metadata_props.pop(NOTES, "").splitlines()
    bound = [*notes, *bind_inputs(model, constants)]
    _check_shapes(shapes, constants)
    common.InlinePass()(model)
    common.RemoveInitializersFromInputsPass()(model)
    lift_constants(model)
    if not keep_quantized:
        bound += float_weights(model)
    _check_inlined(model, keep_quantized)
    name_by_modules(model.graph, outputs=name_outputs)
    to_float32(model)
    _check_inputs(model, keep_quantized)
    given = model.clone() if may_have_tail(model.graph) else None
    model, history = with_static_batch(model, shapes, lambda m, s, batch: _normal(m, s, batch, version)[0])
    check_finite(model.graph)  # after folding: operands of folded nodes, such as bounds, may be infinite
    tail = None
    if _CUT in model.graph.metadata_props:
        # The tail runs on one sample: the sizes in it are those of one.
        assert given is not None
        tail = _normal(given, shapes, 1, version)[1]
        assert tail is not None
        tail = replace(tail, given=tuple(str(value.name) for value in model.graph.outputs))
        history = [str(tail), *history]
    if not keep_quantized:
        check_single_integers(model.graph)
    graph = Graph(model, [*bound, *history], tail=tail)
    graph.verify()
    return graph


def _normal(model: ir.Model, shapes: static.Shapes, batch: int, version: int) -> tuple[ir.Model, Tail | None]:
    """Bring a model to normal form, in place; its post-processing is cut off."""
    graph = model.graph
    static.fix_inputs(model, shapes, batch)
    static.forget_shapes(graph)
    turn_weights(graph)
    tail = fold(model)
    if tail is not None:
        graph.metadata_props[_CUT] = "yes"
    static.infer(model)
    _check_outputs(graph)
    name_nodes(graph)
    model.graph.opset_imports[""] = NORMAL_OPSET
    expand_contrib(graph)
    upgrade_opset(model, version, NORMAL_OPSET)
    from intaglio.frontends.rewrites import rewrite_operators  # reads `ops`, which loads PyTorch

    rewrite_operators(graph)
    remove_identities(graph)
    remove_unread(graph)
    split_recurrent_layers(model)
    remove_unread(graph)
    split_shared_constants(graph)
    graph.sort()
    for domain in set(model.opset_imports) - {"", *(node.domain for node in graph)}:
        model.opset_imports.pop(domain)
    model.ir_version = onnx.helper.find_min_ir_version_for(
        [onnx.helper.make_opsetid("", NORMAL_OPSET)], ignore_unknown=True
    )
    static.forget_shapes(graph)
    static.infer(model)
    return model, tail


def _check_opset(model: ir.Model) -> int:
    """Get the version of ONNX's own operators that the model uses; refuse one that cannot be read."""
    imports = model.opset_imports
    if "ai.onnx" in imports:
        imports[""] = imports.pop("ai.onnx")
    newest = onnx.defs.onnx_opset_version()
    version = imports.get("")
    if version is None:
        version = imports[""] = NORMAL_OPSET
    if not _OLDEST_OPSET <= version <= newest:
        raise ModelError(
            f"{model.graph.name}: expected ONNX opset {_OLDEST_OPSET} to {newest}, which the installed onnx "
            f"{onnx.__version__} knows, got {version}; export the model with one of these"
        )
    return version


def _check_inlined(model: ir.Model, keep_quantized: bool) -> None:
    for node in model.graph:
        if node.domain == "ai.onnx":
            node.domain = ""
    check_foreign(model.graph, keep_quantized)
    for node in model.graph:
        if node.domain and not is_known_foreign(node) and not is_contrib(node):
            raise UnsupportedOperatorError(
                f"{where(node)} expected an operator of ONNX, got one of the domain '{node.domain}'; "
                "export the model with standard operators, and save a model that ONNX Runtime optimized with a lower "
                "optimization level"
            )


def _check_shapes(shapes: static.Shapes, constants: Constants) -> None:
    for name in shapes:
        if name in constants:
            raise ModelError(f"shape of '{name}': expected an input that is left open, got one bound to a constant")


def _check_inputs(model: ir.Model, keep_quantized: bool) -> None:
    if not model.graph.inputs:
        raise ModelError(f"{model.graph.name}: expected a network with inputs, got none: it computes a constant")
    for value in model.graph.inputs:
        if not isinstance(value.type, ir.TensorType):
            raise ModelError(f"input '{value.name}': expected a tensor, got {value.type}")
        if value.dtype != ir.DataType.FLOAT and value.dtype not in INTEGER_INPUTS and not keep_quantized:
            raise ModelError(
                f"input '{value.name}': expected float numbers, integers or booleans, got {value.dtype}; bind one that "
                f"is the same for every sample with --constant {value.name}=... or constants={{'{value.name}': ...}}"
            )


def _check_outputs(graph: ir.Graph) -> None:
    if not len(graph):
        raise ModelError(
            f"{graph.name}: expected a network that computes something, got outputs that are its inputs; export the "
            "model again"
        )
    for value in graph.outputs:
        if value.is_initializer() or value.const_value is not None:
            raise ModelError(f"output '{value.name}': expected it to depend on an input, got a constant")
