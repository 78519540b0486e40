"""What can be computed from constants is computed when a network is loaded, or refused by node and reason.

The cases are ONNX's own node tests, whose inputs all become constants here: as initializers, and as Constant nodes with
unnamed tensors, as exporters write them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from intaglio_tests.onnx_net import Net, assert_same, cases_of_node, feeds_for, ops, run
from onnx.backend.test.case import node
from onnx.backend.test.case.test_case import TestCase

from intaglio.errors import ModelError
from intaglio.frontends import load_onnx
from intaglio.frontends.torch import load_torch
from intaglio.graph import constant

# Operators that exporters make constants with: masks, positions, shapes, parts of parameters.
EXPORTED = (
    "cast castlike center_crop_pad concat constant constantofshape cumsum equal expand eyelike gather onehot rangeop "
    "reshape shape size slice split squeeze tile trilu unsqueeze where"
)
MODULES = [found.name for found in pkgutil.iter_modules(node.__path__) if not found.name.startswith("_")]
NONE_FOLDED = {
    "other domains": "adagrad adam ai_onnx_ml momentum",
    "random numbers": "bernoulli",
    "subgraphs": "sequence_map",
    "quantized": "dynamicquantizelinear qlinearconv qlinearmatmul quantizelinear",
    "text": "regex_full_match string_concat string_split stringnormalizer",
    "sequences out": "sequenceinsert splittosequence",
    "no implementation in the reference": "scatter",
    "tests of opsets that are not read": "not_",
}


def node_tests(module: str) -> list[TestCase]:
    return [case for case in cases_of_node(module) if case.model is not None and _is_numbers(case)]


def _is_numbers(case: TestCase) -> bool:
    """Neither text nor optional values nor opsets older than those that are read."""
    values = [value for group in case.data_sets[0] for value in group]
    texts = any(isinstance(v, str) or getattr(v, "dtype", np.dtype(int)).kind in "OUS" for v in values)
    return not texts and all(v is not None for v in values) and case.model.opset_import[0].version >= 7


def as_array(value: Any) -> np.ndarray:
    """Types that NumPy lacks come as protobufs."""
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def constants(name: str, value: Any, as_nodes: bool) -> Iterator[onnx.NodeProto | onnx.TensorProto]:
    """A constant of that name: a tensor, or a node that makes it; a list is a sequence."""
    if isinstance(value, list):
        parts = [f"{name}.{index}" for index in range(len(value))]
        for part, element in zip(parts, value, strict=True):
            yield from constants(part, element, as_nodes)
        yield onnx.helper.make_node("SequenceConstruct" if parts else "SequenceEmpty", parts, [name])
    elif as_nodes:
        tensor = onnx.numpy_helper.from_array(as_array(value))
        yield onnx.helper.make_node("Constant", [], [name], value=tensor)
    else:
        yield onnx.numpy_helper.from_array(as_array(value), name)


def network(case: TestCase, as_nodes: bool) -> onnx.ModelProto:
    """An input is added to every result, so that it depends on an input."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    graph = proto.graph
    given, _ = case.data_sets[0]
    made = [item for info, v in zip(graph.input, given, strict=True) for item in constants(info.name, v, as_nodes)]
    results = [info.name for info in graph.output]
    nodes = [*(item for item in made if isinstance(item, onnx.NodeProto)), *graph.node]
    for name in results:
        nodes.append(onnx.helper.make_node("Cast", [name], [f"{name}.float"], to=onnx.TensorProto.FLOAT))
        nodes.append(
            onnx.helper.make_node("Add", [f"{name}.float", "network.input"], [f"{name}.y"], name=f"{name}.add")
        )
    for field in ("input", "output", "node", "value_info"):
        del getattr(graph, field)[:]
    graph.node.extend(nodes)
    graph.initializer.extend(item for item in made if isinstance(item, onnx.TensorProto))
    graph.input.append(onnx.helper.make_tensor_value_info("network.input", onnx.TensorProto.FLOAT, [1]))
    graph.output.extend(
        onnx.helper.make_tensor_value_info(f"{name}.y", onnx.TensorProto.FLOAT, None) for name in results
    )
    proto.ir_version = 10
    return proto


def folded(case: TestCase, as_nodes: bool) -> bool:
    """Whether a test folds to the right numbers; False where it is refused in words."""
    try:
        graph = load_onnx(network(case, as_nodes))
    except ModelError as error:
        text = str(error)
        assert "cannot be followed" not in text, f"{case.name}: {text}"
        assert text.startswith(("[", "constant '")), f"{case.name}: expected the node, got: {text}"
        return False
    assert set(ops(graph)) <= {"Add", "Identity"}, f"{case.name}: {ops(graph)}"
    for output, want in zip(case.model.graph.output, case.data_sets[0][1], strict=True):
        found = [constant(value) for value in graph.node(f"{output.name}.add").inputs]
        got = next(array for array in found if array is not None)
        want = as_array(want)
        # Narrow floats become float32 before anything is computed.
        narrow = {"bfloat16": 2.0**-7, "float16": 2.0**-9}.get(want.dtype.name, 0.0)
        want = want.astype(np.float32)
        assert got.shape == want.shape, f"{case.name}: {got.shape}, expected {want.shape}"
        np.testing.assert_allclose(
            got, want, rtol=max(case.rtol, narrow), atol=max(case.atol, narrow), err_msg=case.name
        )
    return True


@pytest.mark.parametrize("as_nodes", [False, True], ids=["initializers", "constant nodes"])
@pytest.mark.parametrize("operator", EXPORTED.split())
def test_constants_that_exporters_write_are_folded(operator: str, as_nodes: bool) -> None:
    cases = node_tests(operator)
    results = [folded(case, as_nodes) for case in cases[:: max(len(cases) // 12, 1)]]
    assert any(results), f"{operator}: {len(results)} tests, none folded"


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_every_operator_on_constants_is_folded_or_refused_by_name(module: str) -> None:
    results = [folded(case, as_nodes=True) for case in node_tests(module) if "3d_default" not in case.name]
    if module == "image_decoder":
        return  # folds where Pillow is installed
    none = any(module in names.split() for names in NONE_FOLDED.values())
    assert any(results) != none, f"{module}: {sum(results)} of {len(results)} tests folded"


SEQUENCES: dict[str, Callable[[Net], str]] = {
    "parts of a parameter": lambda net: net.op("SequenceAt", net.op("SplitToSequence", net.normal(8), 4), 1),
    "parts of one": lambda net: net.op("SequenceAt", net.op("SplitToSequence", net.normal(2, 4), keepdims=0), -1),
    "joined again": lambda net: net.op("ConcatFromSequence", net.op("SplitToSequence", net.normal(4), 3), axis=0),
    "stacked": lambda net: net.op(
        "ConcatFromSequence", net.op("SplitToSequence", net.normal(8), 4), axis=0, new_axis=1
    ),
    "made and grown": lambda net: net.op(
        "SequenceAt", net.op("SequenceInsert", net.op("SequenceConstruct", net.normal(4)), net.normal(4), 0), 0
    ),
    "from nothing": lambda net: net.op(
        "SequenceAt", net.op("SequenceInsert", net.op("SequenceEmpty"), net.normal(4)), 0
    ),
    "erased": lambda net: net.op(
        "SequenceAt", net.op("SequenceErase", net.op("SplitToSequence", net.normal(8), 4), 0), 0
    ),
    "counted": lambda net: net.op("Cast", net.op("SequenceLength", net.op("SplitToSequence", net.normal(8), 4)), to=1),
}


@pytest.mark.parametrize("make", SEQUENCES.values(), ids=SEQUENCES.keys())
def test_sequences_of_constants_are_folded(make: Callable[[Net], str], rng: np.random.Generator) -> None:
    net = Net()
    model = net.output(net.op("Mul", net.input("x", (1, 4)), make(net))).model()
    graph, feeds = load_onnx(model), feeds_for(model, rng)
    assert ops(graph) == ["Mul"]
    assert_same(run(graph, feeds), run(model, feeds))


def test_parts_of_an_input_are_told_apart(rng: np.random.Generator) -> None:
    """A sequence of what is computed is taken apart too."""
    net = Net()
    parts = net.op("SplitToSequence", net.input("x", ("N", 8)), 4, axis=1)
    model = net.output(net.op("Mul", net.op("SequenceAt", parts, 0), net.op("SequenceAt", parts, 1))).model()
    graph, feeds = load_onnx(model), feeds_for(model, rng, batch=3)
    assert ops(graph) == ["Split", "Mul"]
    assert graph.batched
    assert_same(run(graph, feeds), run(model, feeds))


def random_operators() -> list[str]:
    """Those that have a seed, in any version; Dropout, which is one only in training mode, has a test of its own."""
    schemas = onnx.defs.get_all_schemas_with_history()
    return sorted({s.name for s in schemas if "seed" in s.attributes and not s.domain} - {"Dropout"})


@pytest.mark.parametrize("operator", random_operators())
def test_random_numbers_are_no_constants(operator: str) -> None:
    net = Net()
    made = onnx.defs.get_schema(operator).inputs
    given: dict[str, Any] = {"Bernoulli": {"seed": 1.0}, "Multinomial": {"sample_size": 4}}.get(operator, {})
    given = given if made else {"shape": [4]}
    noise = net.op(operator, *([np.full((1, 4), 0.5, np.float32)] if made else []), name="noise", **given)
    y = net.op("Add", net.input("x", (1, 4)), net.op("Cast", noise, to=1))
    with pytest.raises(ModelError, match=rf"\[{operator} 'node_noise'\] reads constants only, .* random numbers"):
        load_onnx(net.output(y).model())


@pytest.mark.parametrize("ratio", [None, 0.5, 0.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("opset", [12, 13, 22])
def test_a_dropout_in_training_is_no_constant(training: bool, ratio: float | None, opset: int) -> None:
    net = Net(opset=opset)
    data = net.normal(1, 4)
    arguments = ["" if ratio is None else np.float32(ratio), np.array(training)]
    y = net.op("Add", net.input("x", (1, 4)), net.op("Dropout", data, *arguments, name="drop"))
    model = net.output(y).model()
    if not training or ratio == 0:
        assert ops(load_onnx(model)) == ["Add"]
        return
    with pytest.raises(ModelError, match=r"\[Dropout 'node_drop'\] reads constants only, .* random numbers"):
        load_onnx(model)


def test_what_no_reference_computes_is_refused_by_node_and_reason() -> None:
    net = Net(opset=10)
    scattered = net.op("Scatter", net.normal(3, 3), np.zeros((1, 3), np.int64), net.normal(1, 3), name="old")
    model = net.output(net.op("Add", net.input("x", (1, 3)), scattered)).model()
    with pytest.raises(ModelError, match=r"\[Scatter 'node_old'\] reads constants only, .* got: .*No registered impl"):
        load_onnx(model)


@pytest.mark.parametrize("makes_much", ["Expand", "ConstantOfShape", "Range", "Add", "OneHot"])
def test_a_constant_that_would_fill_the_memory_is_refused(makes_much: str) -> None:
    net = Net()
    many = np.array([1 << 20, 1 << 20])
    large = {
        "Expand": lambda: net.op("Expand", net.normal(1), many, name="large"),
        "ConstantOfShape": lambda: net.op("ConstantOfShape", many, name="large"),
        "Range": lambda: net.op("Range", np.float32(0), np.float32(1e9), np.float32(1e-3), name="large"),
        "Add": lambda: net.op("Add", net.normal(1 << 20, 1), net.normal(1, 1 << 20), name="large"),
        "OneHot": lambda: net.op(
            "OneHot", np.zeros(9, np.int64), np.array(1 << 30), np.zeros(2, np.float32), name="large"
        ),
    }[makes_much]()
    model = net.output(net.op("ReduceSum", net.op("Add", net.input("x", (1, 1)), large))).model()
    with pytest.raises(ModelError, match=rf"\[{makes_much} 'node_large'\] expected a constant of at most 268,435,456"):
        load_onnx(model)


def test_what_nobody_reads_may_fail() -> None:
    """A node in a branch that is not taken, or behind nothing, is no fault of the network."""
    net = Net()
    net.op("Reshape", net.normal(3), [2, 2], name="dead")
    assert ops(load_onnx(net.output(net.op("Relu", net.input("x", (1, 4)))).model())) == ["Relu"]


class ConstantMakers(torch.nn.Module):
    """Masks, positions and parts of parameters, as modules make them; GroupNorm casts its epsilon."""

    def __init__(self) -> None:
        super().__init__()
        self.packed = torch.nn.Parameter(torch.linspace(0.5, 1.5, 12))
        self.norm = torch.nn.GroupNorm(2, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gain, shift = self.packed.split(6)
        positions = torch.arange(6, dtype=torch.float32).outer(torch.linspace(0.0, 1.0, 6)).sin()
        mask = torch.triu(torch.ones(6, 6)) + torch.eye(6) - torch.full((6, 6), 0.25).tril(-1)
        return self.norm(x.mT @ mask * gain + shift + positions[None])


def test_what_a_module_makes_constants_with_is_folded() -> None:
    torch.manual_seed(0)
    module, x = ConstantMakers().eval(), torch.randn(3, 6, 6)
    graph = load_torch(module, x[:1])
    assert set(ops(graph)) == {"Transpose", "MatMul", "Mul", "Add", "Reshape", "InstanceNormalization"}
    with torch.no_grad():
        assert_same(run(graph, {graph.inputs[0].name: x.numpy()}), [module(x).numpy()], 2e-5)
