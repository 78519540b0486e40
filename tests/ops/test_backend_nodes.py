"""ONNX's own node tests for every operator here, loaded as networks and run by the simulator.

Inputs of a node test are all computed; in a network most of them are constants (weights, axes, shapes, bounds), so all
but the operands of elementwise operators become initializers. What is no network is skipped by a declared list, and a
skipped test must really be refused, so the list cannot grow stale.
"""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.backend.test.case.test_case import TestCase

from intaglio.errors import IntaglioError
from intaglio.frontends.onnx import load_onnx
from intaglio.graph.passes import prepare
from intaglio.ops import FLOAT_OPERATORS, float_operator
from intaglio.simulate import Simulator

# Modules of onnx.backend.test.case.node, and how many of their tests run (decompositions of functions included).
MODULES: dict[str, int] = {
    "abs": 1,
    "add": 2,
    "argmax": 16,
    "argmin": 16,
    "averagepool": 14,
    "batch_normalization": 2,
    "ceil": 2,
    "celu": 6,
    "clip": 10,
    "concat": 12,
    "conv": 6,
    "convtranspose": 10,
    "cos": 2,
    "depthtospace": 4,
    "div": 3,
    "dropout": 5,
    "elu": 3,
    "erf": 1,
    "exp": 2,
    "expand": 2,
    "flatten": 9,
    "floor": 2,
    "gather": 4,
    "gelu": 8,
    "gemm": 11,
    "globalaveragepool": 2,
    "globalmaxpool": 2,
    "hardsigmoid": 6,
    "hardswish": 2,
    "identity": 1,
    "layernormalization": 19,
    "leakyrelu": 3,
    "log": 2,
    "logsoftmax": 21,
    "matmul": 7,
    "max": 1,
    "maxpool": 14,
    "min": 1,
    "mish": 2,
    "mul": 3,
    "neg": 2,
    "pad": 3,
    "pow": 1,
    "prelu": 1,
    "reciprocal": 2,
    "reducemax": 8,
    "reducemean": 8,
    "reducemin": 8,
    "reducesum": 10,
    "relu": 2,
    "reshape": 9,
    "resize": 21,
    "round": 1,
    "selu": 3,
    "shrink": 2,
    "sigmoid": 2,
    "sign": 1,
    "sin": 2,
    "slice": 7,
    "softmax": 21,
    "softplus": 4,
    "softsign": 2,
    "spacetodepth": 7,
    "split": 14,
    "sqrt": 2,
    "squeeze": 2,
    "sub": 3,
    "swish": 2,
    "tanh": 2,
    "thresholdedrelu": 3,
    "transpose": 7,
    "unsqueeze": 7,
    "upsample": 1,
}
SKIPPED: dict[str, tuple[str, ...]] = {
    "integers or truth values in: a Graph computes on float numbers": (
        *(f"test_{op}_*int{bits}*" for op in ("add", "div", "max", "min", "mul", "sub") for bits in (8, 16, 32, 64)),
        "test_clip_default_int8*",
        "test_edge_pad",
        "test_maxpool_2d_uint8",
        "test_pow_types_int*",
        "test_reduce_max_bool_inputs",
        "test_reduce_max_empty_set_bool",
        "test_reduce_min_bool_inputs",
        "test_reflect_pad",
        "test_wrap_pad",
    ),
    "sequences and optional values are no tensors": ("test_identity_opt", "test_identity_sequence"),
    "nothing is computed from an input: a mask that is always true": (
        "test_dropout_default_mask*",
        "test_training_dropout_zero_ratio_mask",
    ),
    "tensors without elements": (
        "test_reduce_*_empty_set",
        "test_reduce_sum_empty_set_non_reduced_axis_zero",
        "test_reshape_allowzero_reordered",
        "test_slice_start_out_of_bounds",
        "test_split_zero_size_splits_*",
    ),
    "training": (
        "test_batchnorm_*_training_mode",
        "test_training_dropout",
        "test_training_dropout_default*",
        "test_training_dropout_mask",
    ),
    "volumes: three spatial axes": ("test_averagepool_3d_*", "test_convtranspose_3d", "test_maxpool_3d_*"),
    "Div of two computed values, which a decomposition writes": (
        "test_layer_normalization_*expanded*",
        "test_softsign_*expanded_ver18",
    ),
    "comparisons (Less, Where), which a decomposition writes": (
        *(f"test_{op}_*expanded*" for op in ("elu", "leakyrelu", "prelu", "selu", "shrink", "thresholdedrelu")),
        "test_clip_inbounds_expanded",
        "test_clip_outbounds_expanded",
        "test_clip_splitbounds_expanded",
        "test_clip_default_max_expanded",
        "test_clip_default_min_expanded",
        "test_clip_example_expanded",
        "test_clip_expanded",
        "test_clip_min_greater_than_max_expanded",
    ),
    "Min and Max with tensors: only numbers make a clamp": (
        *(f"test_{op}_{form}" for op in ("max", "min") for form in ("example", "float*", "two_inputs")),
    ),
    "slopes, divisors and exponents that differ from element to element": (
        "test_pow",
        "test_pow_bcast_array",
        "test_pow_example",
        "test_pow_types_float32_*",
        "test_prelu_example",
    ),
    "Resize beyond nearest and linear": ("test_resize_*antialias", "test_resize_*_cubic*"),
    "Resize to a size with the aspect ratio kept": ("test_resize_*_not_larger", "test_resize_*_not_smaller"),
    "align_corners of a length that is no whole number: ONNX Runtime, which we follow, takes the rounded one": (
        "test_resize_downsample_scales_linear_align_corners",
    ),
    "SpaceToDepth in CRD order, newer than the normal opset": ("test_spacetodepth_crd_mode_example",),
}

OPERANDS = {"Add", "Sub", "Mul", "MatMul", "Concat"}  # several inputs of these are computed
FIRST_OUTPUT_ONLY = ("test_layer_normalization", "test_maxpool")  # statistics and indices are for training


def cases_of(module: str) -> list[TestCase]:
    """The tests that a module adds to ONNX's global list when it is imported."""
    import onnx.backend.test.case.node as node

    if module not in _CACHE:
        before = len(node._NodeTestCases)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(f"onnx.backend.test.case.node.{module}")
        _CACHE[module] = node._NodeTestCases[before:]
    return _CACHE[module]


_CACHE: dict[str, list[TestCase]] = {}


def network(case: TestCase) -> tuple[onnx.ModelProto, list[Any]]:
    """The test as a network, and its computed inputs."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    op_type = proto.graph.node[-1].op_type if len(proto.graph.node) == 1 else ""
    given, _ = case.data_sets[0]
    computed, feeds = [], []
    for info, value in zip(list(proto.graph.input), given, strict=True):
        if not computed or op_type in OPERANDS:
            computed.append(info)
            feeds.append(value)
        else:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), info.name))
    del proto.graph.input[:]
    proto.graph.input.extend(computed)
    if case.name.startswith(FIRST_OUTPUT_ONLY):
        del proto.graph.output[1:]
        if op_type:
            del proto.graph.node[0].output[1:]
    return proto, feeds


def run(case: TestCase) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """(got, want) of every output, of the graph as the passes leave it and, if its operators are known, as it came."""
    proto, feeds = network(case)
    graph = load_onnx(proto)
    prepared = prepare(graph)
    for node in prepared.nodes:
        float_operator(node).contract(node)
    _, wanted = case.data_sets[0]
    pairs = []
    for g in (prepared, graph):
        if {node.op_type for node in g.nodes} <= set(FLOAT_OPERATORS):
            names = [str(v.name) for v in g.inputs]
            tensors = {n: torch.as_tensor(np.asarray(x, np.float32)) for n, x in zip(names, feeds, strict=True)}
            results = Simulator(g, device="cpu")(tensors).values()
            pairs += [(y.numpy(), np.asarray(w)) for y, w in zip(results, wanted, strict=False)]
    return pairs


def reason(case: TestCase) -> str | None:
    """The first reason to skip a test."""
    return next((why for why, names in SKIPPED.items() if any(fnmatchcase(case.name, name) for name in names)), None)


@pytest.mark.parametrize("module", MODULES)
def test_node_tests(module: str) -> None:
    ran = 0
    for case in cases_of(module):
        why = reason(case)
        if why is not None:
            with pytest.raises((AssertionError, IntaglioError, ValueError)):
                for got, want in run(case):
                    compare(case, got, want)
            continue
        for got, want in run(case):
            compare(case, got, want)
        ran += 1
    assert ran == MODULES[module]


def compare(case: TestCase, got: np.ndarray[Any, Any], want: np.ndarray[Any, Any]) -> None:
    narrow = {"bfloat16": 2.0**-7, "float16": 2.0**-9}.get(want.dtype.name, 0.0)
    if got.shape != want.shape:
        raise ValueError(f"{case.name}: got shape {got.shape}, want {want.shape}")
    np.testing.assert_allclose(
        got.astype(np.float32), want.astype(np.float32), rtol=max(case.rtol, narrow), atol=max(case.atol, 1e-6),
        err_msg=case.name,
    )  # fmt: skip


def test_the_number_of_tests_that_run_does_not_shrink() -> None:
    assert sum(MODULES.values()) >= 409


def test_every_reason_to_skip_is_used() -> None:
    names = [case.name for module in MODULES for case in cases_of(module)]
    unused = [name for pattern in SKIPPED.values() for name in pattern if not any(fnmatchcase(n, name) for n in names)]
    assert not unused, unused
