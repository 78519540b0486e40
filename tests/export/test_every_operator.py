"""Every float operator in many forms: ONNX Runtime loads its QDQ file and computes what the program computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from intaglio_tests.operator_cases import CASES, Case, inputs_of
from intaglio_tests.operator_nets import Lowered, derived_steps, lowered, model
from intaglio_tests.qdq_net import run_all

from intaglio.export import export_qdq
from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.program.operators.lut import Lut

# 8 bits with and without zero points; 4 bits, which need opset 21; activations of 16 bits.
TARGETS = ("cpu-int8", "int8-symmetric", "w4a4", "int16x8")
GRAPHS: dict[str, Graph] = {}
RUNTIME = tuple(map(int, onnxruntime.__version__.split(".")[:2]))


def pool(
    form: str, *, op_type: str = "AveragePool", size: tuple[int | str, ...] = ("n", 3, 8, 7), **options: Any
) -> Case:
    node = onnx.helper.make_node(op_type, ["x"], ["y"], "node", **options)
    return Case(f"{op_type}-{form}", (node,), {"x": size})


POOLS = [
    pool("no_padding_counted", kernel_shape=[3, 2], count_include_pad=1),
    pool("ceil_no_padding_counted", kernel_shape=[3, 2], strides=[2, 2], count_include_pad=1, ceil_mode=1),
    pool("ceil_counted", kernel_shape=[3, 3], strides=[2, 3], pads=[1, 0, 0, 1], count_include_pad=1, ceil_mode=1),
    pool("ceil_not_counted", kernel_shape=[3, 3], strides=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1),
    pool("dilated_padded", kernel_shape=[3, 2], dilations=[2, 1], pads=[1, 0, 2, 1]),
    pool("dilated_counted", kernel_shape=[2, 2], dilations=[1, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    pool("dilated_ceil", kernel_shape=[2, 2], dilations=[2, 3], strides=[3, 3], ceil_mode=1),
    pool("dilated_ceil_counted", kernel_shape=[2, 2], dilations=[2, 2], strides=[3, 4], pads=[1] * 4, ceil_mode=1),
    pool("dilated_1d", size=("n", 3, 12), kernel_shape=[3], dilations=[2], strides=[2], pads=[1, 2]),
    pool(
        "ceil_1d_counted",
        size=("n", 3, 10),
        kernel_shape=[3],
        strides=[2],
        pads=[1, 0],
        count_include_pad=1,
        ceil_mode=1,
    ),
    pool("ceil_padded", op_type="MaxPool", kernel_shape=[3, 3], strides=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1),
    pool("dilated_ceil", op_type="MaxPool", kernel_shape=[2, 2], dilations=[2, 3], strides=[3, 3], ceil_mode=1),
]


def tolerance(case: Lowered, name: str, *, optimized: bool) -> float:
    """By how many of its steps an output may differ; infinite for tables of more than 8 bits.

    The program is within `derived_steps` of the rounded real operator. Without optimization ONNX Runtime computes just
    that, in float32. Its own integer kernels round once more.
    """
    value = case.graph.value(name)
    node, params = value.producer(), case.plan.params(name)
    assert node is not None
    if params is None:  # indices
        return 0.0
    if params.type.bits > 8 and any(isinstance(n.operator, Lut) for n in case.program.nodes):
        return np.inf  # the error of such a table has tests of its own
    steps = derived_steps(case)(node, params) + (1.0 if optimized else 0.0)
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    if before is not None and before.op_type == node.op_type == "Resize":  # the plane, then the depth of a volume
        return steps + tolerance(case, str(before.outputs[0].name), optimized=optimized)
    return steps


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", [*CASES, *POOLS], ids=lambda case: case.name)
def test_onnx_runtime_equals_the_program(case: Case, target: str, tmp_path: Path) -> None:
    graph = GRAPHS.get(case.name)
    if graph is None:
        graph = GRAPHS[case.name] = load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))
    made = lowered(graph, target, inputs_of(case, graph, 3))
    export_qdq(graph, made.plan, tmp_path / "m.onnx")
    ours = made.program.run(*made.x.values())
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        if level == "ORT_ENABLE_ALL" and case.name.startswith("Resize-zero") and RUNTIME <= (1, 23):
            pytest.skip(
                "needs an onnxruntime newer than 1.23, whose optimized Resize extrapolates with code 0, not real 0"
            )
        theirs = run_all(tmp_path / "m.onnx", made.x, level)
        for value, a, b in zip(graph.outputs, ours if isinstance(ours, tuple) else [ours], theirs, strict=True):
            name = str(value.name)
            params, allowed = made.plan.params(name), tolerance(made, name, optimized=level != "ORT_DISABLE_ALL")
            assert a.shape == b.shape
            assert np.isfinite(b).all()
            if params is None:
                np.testing.assert_array_equal(a, b)
                continue
            low, high = params.range  # scores in 16 bits have no pair in the file that would cut them
            steps = np.abs(a.astype(np.float64) - np.clip(b, low, high)) / float(params.scale)
            # float32 holds a number of 65535 steps to 2**-8 of one
            assert steps.max() <= allowed + 2.0**-7, f"{level}: {name} is {steps.max():.3f} steps away"


@pytest.mark.parametrize("case", [case for case in (*CASES, *POOLS) if "Pool" in case.name], ids=lambda case: case.name)
def test_pools_are_written_in_forms_that_every_kernel_knows(case: Case, tmp_path: Path) -> None:
    graph = load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))
    made = lowered(graph, "w4a4", inputs_of(case, graph, 3))
    export_qdq(graph, made.plan, tmp_path / "m.onnx")
    for node in onnx.load(tmp_path / "m.onnx").graph.node:
        if node.op_type == "AveragePool":
            assert not {"ceil_mode", "dilations"} & {attribute.name for attribute in node.attribute}
