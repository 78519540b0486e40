"""Scale learning rates of layers whose inputs or outputs are far from size 1.

For `y = w x + b` with x of size s_x and y of size s_y, the equal network for data of size 1 has weights `w s_x / s_y`
and biases `b / s_y`. A step of these is a step of w times s_y / s_x for an optimizer whose steps do not depend on the
gradient's size, and times (s_y / s_x)^2 for SGD. Without this, first layers on bytes and equalized layers learn nothing
or diverge. Learned scales follow: a weight's scale has the weight's factor, a value's scale the value's size.

Source: change of variables (ours); initialization aims at data of size 1 (He et al. 2015, arXiv:1502.01852, section
2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import consumers, is_output
from intaglio.ops import Role, float_operator
from intaglio.train.module import QuantizedModule
from intaglio.train.teacher import FloatModule

NEAR = 8.0
"""Factors between 1 / NEAR and NEAR are not applied: learning rates are no more exact than that."""
NEAR_NORM = 32.0
"""The same for products with a trainable batch norm, whose sizes suited the float training."""
_MOST = 20  # log2 of the largest factor
_KEEPS = ("Softmax", "LogSoftmax", "Reshape", "Identity")


def magnitudes(module: QuantizedModule, inputs: Sequence[Tensor], *, classes: bool) -> dict[str, float]:
    """Return step-size factors of parameters and of values' scales: powers of two, factors of 1 left out.

    Args:
        module: the network; its float network is run once.
        inputs: one batch.
        classes: whether the first output is class scores, which count as size 1.
    Returns:
        Factors by name: s_y / s_x for a weight, s_y for a bias, s for a computed value or an input.
    """
    sizes: dict[str, float] = {}

    def observe(name: str, x: Tensor) -> None:
        if x.is_floating_point():
            sizes[name] = float(x.float().square().mean().sqrt())

    network = FloatModule(module.graph)
    network.observe = observe
    network(*inputs)
    for value, x in zip(module.graph.inputs, inputs, strict=True):
        observe(str(value.name), x)
    norms = {norm.weight: norm for norm in module.norms.values() if norm.weight}
    learned = {name for name, _ in module.named_parameters()}
    found = {name: _power(_size(sizes, name), NEAR) for name in sizes}
    for node in module.graph.nodes:
        made = 1.0 if classes and _scores(node.outputs[0]) else _size(sizes, str(node.outputs[0].name))
        read = next((_size(sizes, str(v.name)) for v in node.inputs if v is not None and str(v.name) in sizes), 1.0)
        for operand, role in zip(node.inputs, float_operator(node).contract(node).roles, strict=False):
            name = "" if operand is None else str(operand.name)
            if name in norms:
                sigma = float(module.get_buffer(norms[name].variance).mean().sqrt())
                found[name] = _power(sigma / read, NEAR_NORM)
            elif name not in learned:
                continue
            elif role is Role.WEIGHT or (role is Role.SIDE and node.op_type in ("Mul", "Div", "MatMul")):
                found[name] = _power(made / read, NEAR)
            elif role in (Role.BIAS, Role.SIDE):
                found[name] = _power(made, NEAR)
    return {name: factor for name, factor in found.items() if factor != 1}


def _size(sizes: dict[str, float], name: str) -> float:
    found = sizes.get(name, 1.0)
    return found if found > 0 and math.isfinite(found) else 1.0  # an all-zero value has no size


def _scores(value: ir.Value) -> bool:
    """Return whether a value is the network's output, up to a softmax."""
    users = consumers(value)
    return is_output(value) or (len(users) == 1 and users[0].op_type in _KEEPS and _scores(users[0].outputs[0]))


def _power(factor: float, near: float) -> float:
    if not (0 < factor < 1 / near or near < factor < math.inf):
        return 1.0
    return 2.0 ** max(-_MOST, min(_MOST, round(math.log2(factor))))
