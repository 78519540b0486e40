"""Small networks of the kinds that run on microcontrollers, as Programs with random weights."""

from __future__ import annotations

import numpy as np

from intaglio.number import INT8, UINT8, IntType, QuantParams, Rule
from intaglio.program import Node, Program, TensorInfo
from intaglio.program.operator import Operator
from intaglio.program.operators.add import Add
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.reshape import Reshape
from intaglio.program.sampling import codes, grid


def separable_network(
    type: IntType = UINT8, rule: Rule = Rule.HALF_UP, *, weight_zero_point: int = 0, size: int = 11, seed: int = 0
) -> Program:
    """A strided convolution, depthwise and pointwise ones, a residual, and a classifier of 5."""
    rng = np.random.default_rng(seed)
    step = 2.0**-4 if rule is Rule.SHIFT else 0.07
    zero = 0 if rule is Rule.SHIFT else 3 + (128 if type is UINT8 else 0)
    x = grid(type, step, zero)
    tensors = {"x": TensorInfo("x", (1, size, size, 3), type, x)}
    nodes: list[Node] = []

    def append(operator: Operator, inputs: tuple[str, ...], params: QuantParams) -> str:
        name = f"t{len(nodes)}"
        shape = operator.shape(*(tensors[i].shape for i in inputs))
        tensors[name] = TensorInfo(name, shape, operator.out_type(*(tensors[i].type for i in inputs)), params)
        nodes.append(Node(f"node {name}", operator, inputs, name))
        return name

    def weighted(source: str, outputs: int, kernel: int, groups: int = 1, **options: object) -> str:
        channels = tensors[source].shape[-1] // groups
        scale = 2.0**-8 if rule is Rule.SHIFT else rng.uniform(0.001, 0.004, outputs)
        w = grid(INT8, scale, weight_zero_point)
        weight = codes(rng, w.type, (outputs, kernel, kernel, channels))
        operator = Conv2d.from_real(x, w, x, weight, rng.normal(size=outputs), rule, groups=groups, **options)
        return append(operator, (source,), x)

    y = weighted("x", 8, 3, strides=(2, 2), pads=(1, 1, 0, 0))
    skip = y
    y = weighted(y, 8, 3, groups=8, pads=(1, 1, 1, 1))
    y = weighted(y, 8, 1)
    y = append(Add.from_real(x, x, x, rule=rule), (y, skip), x)
    y = weighted(y, 13, 1)
    y = weighted(y, 13, 3, groups=13, pads=(0, 0, 1, 1), strides=(2, 2))
    y = append(Reshape((-1, int(np.prod(tensors[y].shape)))), (y,), x)
    weight = codes(rng, INT8, (5, tensors[y].shape[1]))
    w = grid(INT8, 2.0**-9 if rule is Rule.SHIFT else 0.002, weight_zero_point)
    y = append(Dense.from_real(x, w, x, weight, rng.normal(size=5), rule), (y,), x)
    return Program(nodes, tensors, {}, ("x",), (y,), rule, "test")
