"""ONNX's own tests for backends, loaded as networks and run by the simulator: each is right or refused by name.

Every node test of the `onnx` package and its simple and PyTorch tests, in two forms: all inputs computed, as the tests
have them, and all but the first as constants, as networks have weights, axes, shapes and bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.backend.test.case.node as node_cases
import pytest
import torch
from intaglio_tests.onnx_net import cases_of_node
from onnx.backend.test.loader import load_model_tests

from intaglio.errors import IntaglioError, UnsupportedOperatorError
from intaglio.frontends.onnx import load_onnx
from intaglio.graph.passes import prepare
from intaglio.ops import contract_of
from intaglio.simulate import Simulator

Array = np.ndarray[Any, Any]
torch.set_num_threads(1)

# How many tests are computed, both forms taken together, and in how many of these integers could do every operator:
# what is refused is refused by name, and what is supported stays so.
COMPUTED: dict[str, tuple[int, int]] = {
    "abs": (1, 1), "acos": (2, 2), "acosh": (2, 2), "add": (4, 4), "affinegrid": (4, 4), "argmax": (16, 16),
    "argmin": (16, 16), "asin": (2, 2), "asinh": (2, 2), "atan": (2, 2), "atanh": (2, 2), "attention": (108, 108),
    "averagepool": (20, 20),
    "batch_normalization": (4, 2), "cast": (8, 8), "castlike": (32, 32), "causal_conv_with_state": (24, 24),
    "ceil": (2, 2), "celu": (6, 6), "center_crop_pad": (6, 6), "clip": (35, 35), "col2im": (5, 5), "compress": (5, 5),
    "concat": (24, 24), "conv": (12, 12),
    "convtranspose": (22, 11), "cos": (2, 2), "cosh": (2, 2), "cumsum": (9, 9), "depthtospace": (4, 4), "dft": (8, 8),
    "div": (6, 6),
    "dropout": (6, 6), "einsum": (11, 11), "elu": (6, 6),
    "erf": (1, 1), "exp": (2, 2), "expand": (2, 2), "flatten": (9, 9), "flexattention": (22, 22), "floor": (2, 2),
    "gather": (8, 8), "gatherelements": (6, 6), "gathernd": (4, 4), "gelu": (4, 4), "gemm": (22, 22),
    "globalaveragepool": (2, 2), "globalmaxpool": (2, 2),
    "gridsample": (14, 14), "groupnormalization": (8, 6), "gru": (6, 6), "hardmax": (7, 7), "hardsigmoid": (6, 6),
    "hardswish": (2, 2), "identity": (1, 1), "linear_attention": (14, 14), "lstm": (5, 5), "rnn": (6, 6),
    "instance_normalization": (4, 2),
    "layernormalization": (76, 76), "leakyrelu": (6, 6), "log": (2, 2), "logsoftmax": (21, 21), "lppool": (8, 8),
    "matmul": (14, 14),
    "lpnormalization": (6, 6), "max": (15, 10), "maxpool": (16, 16), "meanvariancenormalization": (3, 3),
    "lrn": (2, 2),
    "min": (15, 10), "mish": (2, 2),
    "mul": (6, 6), "neg": (2, 2), "negativeloglikelihoodloss": (36, 36), "onehot": (2, 2), "pad": (3, 3),
    "pow": (12, 1),
    "prelu": (8, 5), "pytorch-converted": (3, 3),
    "pytorch-operator": (2, 2), "reciprocal": (2, 2), "reduce_log_sum": (8, 8), "reduce_log_sum_exp": (16, 16),
    "reducel1": (16, 16),
    "reducel2": (16, 16), "reducemax": (8, 8), "reducemean": (8, 8), "reducemin": (8, 8), "reducesum": (10, 10),
    "reduceprod": (8, 8),
    "reducesumsquare": (16, 16), "relu": (2, 2), "reshape": (9, 9), "resize": (29, 29), "reversesequence": (3, 3),
    "rmsnormalization": (76, 57),
    "rotaryembedding": (6, 6), "round": (1, 1), "scan": (7, 7), "scatter": (2, 2), "scatterelements": (4, 4),
    "scatternd": (2, 2),
    "selu": (6, 6),
    "shrink": (4, 4), "sigmoid": (2, 2), "sign": (1, 1),
    "simple": (15, 15), "sin": (2, 2), "sinh": (2, 2), "slice": (7, 7), "softmax": (21, 21), "softplus": (4, 4),
    "softsign": (4, 4),
    "spacetodepth": (7, 7), "split": (14, 14), "sqrt": (2, 2), "squeeze": (2, 2), "stft": (2, 2), "sub": (6, 6),
    "swiglu": (6, 6),
    "swish": (2, 2), "tan": (2, 2), "tanh": (2, 2), "thresholdedrelu": (6, 6), "tile": (2, 2), "transpose": (7, 7),
    "unsqueeze": (7, 7),
    "upsample": (1, 1),
    "and_": (16, 16), "or_": (16, 16), "where": (4, 4), "xor": (16, 16), "equal": (12, 12), "greater": (12, 12),
    "greater_or_equal": (24, 24), "less": (12, 12), "less_or_equal": (24, 24),
}  # fmt: skip
PREFIX = f"{node_cases.__name__}."
MODULES = [found.name.removeprefix(PREFIX) for found in walk_packages(node_cases.__path__, PREFIX) if not found.ispkg]
KINDS = ("simple", "pytorch-converted", "pytorch-operator")


class Case(NamedTuple):
    """A model, what goes in and what comes out, and how exactly."""

    name: str
    model: onnx.ModelProto
    inputs: list[Any]
    outputs: list[Any]
    rtol: float
    atol: float


def node_tests(module: str) -> Iterator[Case]:
    """ONNX's tests of one operator."""
    for case in cases_of_node(module):
        for inputs, outputs in case.data_sets:
            yield Case(case.name, case.model, list(inputs), list(outputs), case.rtol, case.atol)


def file_tests(kind: str) -> Iterator[Case]:
    """The tests that the package has as files."""
    for case in load_model_tests(kind=kind):
        folder = Path(case.model_dir)
        for data in sorted(folder.glob("test_data_set_*")):
            count = {end: len(list(data.glob(f"{end}_*.pb"))) for end in ("input", "output")}
            tensors = {end: [_tensor(data / f"{end}_{i}.pb") for i in range(count[end])] for end in count}
            model = onnx.load(folder / "model.onnx")
            yield Case(case.name, model, tensors["input"], tensors["output"], case.rtol, case.atol)


def _tensor(path: Path) -> onnx.TensorProto:
    """A tensor; sequences and optional values are no tensors, and their tests are refused before one is read."""
    return onnx.TensorProto.FromString(path.read_bytes())


def _array(value: Any) -> Array:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def forms(case: Case) -> Iterator[onnx.ModelProto]:
    """All inputs computed; and all but the first constant, where they are tensors."""
    yield case.model
    if len(case.inputs) > 1 and not any(isinstance(value, (list, type(None))) for value in case.inputs):
        proto = onnx.ModelProto()
        proto.CopyFrom(case.model)
        for info, value in zip(proto.graph.input[1:], case.inputs[1:], strict=False):
            if info.type.HasField("tensor_type"):
                content = value if isinstance(value, onnx.TensorProto) else onnx.numpy_helper.from_array(_array(value))
                held = proto.graph.initializer.add()
                held.CopyFrom(content)
                held.name = info.name
        del proto.graph.input[1:]
        yield proto


def check(case: Case, model: onnx.ModelProto) -> bool:
    """Compare what the graph computes as it is loaded and as the passes leave it.

    Returns:
        Whether integers could do every operator.
    Raises:
        IntaglioError: the test is refused.
    """
    given = {info.name: value for info, value in zip(case.model.graph.input, case.inputs, strict=False)}
    loaded = load_onnx(model)
    for graph in (loaded, prepare(loaded)):
        feeds = {str(v.name): torch.as_tensor(_array(given[str(v.name)]).astype(np.float32)) for v in graph.inputs}
        results = Simulator(graph, device="cpu")(feeds)
        for name, want in zip(results, map(_array, case.outputs), strict=True):
            compare(case, results[name].numpy(), want)
    try:
        for node in graph.nodes:
            contract_of(node)
    except UnsupportedOperatorError:
        return False
    return True


def compare(case: Case, got: Array, want: Array) -> None:
    # What is wanted was rounded to the narrow type at every step of an expanded function, ours only where it says so.
    narrow = {"bfloat16": 2.0**-6, "float16": 2.0**-8}.get(want.dtype.name, 0.0)
    assert got.shape == want.shape, f"{case.name}: got shape {got.shape}, want {want.shape}"
    np.testing.assert_allclose(
        got.astype(np.float32), want.astype(np.float32), rtol=max(case.rtol, narrow), atol=max(case.atol, 1e-6),
        err_msg=case.name,
    )  # fmt: skip


def outcome(cases: Iterator[Case]) -> tuple[int, int]:
    """Check every test; how many are computed, and how many of them integers could do."""
    found: Counter[str] = Counter()
    for case in cases:
        for model in forms(case):
            try:
                integers = check(case, model)
            except IntaglioError as error:
                assert "expected" in str(error) or "not supported" in str(error), f"{case.name}: {error}"
                continue
            found["computed"] += 1
            found["integers"] += integers
    return found["computed"], found["integers"]


@pytest.mark.parametrize("module", MODULES)
def test_node_tests_are_right_or_refused(module: str) -> None:
    assert outcome(node_tests(module)) == COMPUTED.get(module, (0, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_file_tests_are_right_or_refused(kind: str) -> None:
    assert outcome(file_tests(kind)) == COMPUTED.get(kind, (0, 0))


def test_nothing_less_is_computed() -> None:
    assert set(COMPUTED) <= {*MODULES, *KINDS}
    assert sum(computed for computed, _ in COMPUTED.values()) >= 821
