"""Local response normalization.   y = x * (k + alpha * mean of x^2 over neighbouring channels)^-beta

A mean over neighbouring channels is a pool along the last axis, where an image has its channels in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting, constant_input, is_float
from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape
from intaglio.graph.edit import AttributeValue
from intaglio.graph.operators import facts


def lrn(r: Rewriting) -> None:
    """Write ONNX's LRN, whose sum is divided by `size` also at the borders."""
    size = int(attribute(r.node, "size"))
    alpha, beta = float(attribute(r.node, "alpha", 1e-4)), float(attribute(r.node, "beta", 0.75))
    _write(r, size, (size - 1) // 2, alpha, beta, float(attribute(r.node, "bias", 1.0)))


def local_response_norm(r: Rewriting) -> None:
    """Write what PyTorch's exporters make of `local_response_norm`: a Div by a power of pooled squares, of any rank."""
    powered = _producer(r.node, 1, "Pow")
    added = _producer(powered, 0, "Add")
    scaled = _producer(added, 0, "Mul")
    if powered is None or added is None or scaled is None:
        return
    alpha, beta, k = (_number(constant_input(node, 1)) for node in (scaled, powered, added))
    chain = list(_behind(scaled.inputs[0]))
    source = _squared(chain[-1]) if chain else None
    if alpha is None or beta is None or k is None or source is not r.node.inputs[0] or not is_float(source):
        return
    if shape(scaled.inputs[0]) != shape(source):
        return
    size = _channels_pooled(chain, shape(source))
    if size is not None:
        _write(r, size, size // 2, alpha, beta, k)


def _channels_pooled(chain: list[ir.Node], sizes: tuple[int, ...]) -> int | None:
    """Find how many channels an average covers; None for another form.

    Args:
        chain: from the result back to the squares: an AveragePool of (N, 1, C, ...), perhaps a Pad in front, reshapes.
        sizes: of the squares, (N, C, ...).
    """
    others = [node for node in chain if not facts(node.op_type).reshapes]
    pool, pad = (*others, None)[:2] if others else (None, None)
    if pool is None or pool.op_type != "AveragePool" or len(others) > 2 or (pad is not None and pad.op_type != "Pad"):
        return None
    squares = (pad or pool).inputs[0]
    if shape(squares)[:3] != (sizes[0], 1, sizes[1]) or shape(pool.outputs[0])[2] != sizes[1]:
        return None
    size, *rest = (int(length) for length in attribute(pool, "kernel_shape"))
    axes = len(rest) + 1
    around = [int(pads) for pads in attribute(pool, "pads", (0,) * 2 * axes)]
    if any(around) and not attribute(pool, "count_include_pad", 0):
        return None
    steps = (*attribute(pool, "strides", (1,) * axes), *attribute(pool, "dilations", (1,) * axes))
    if any(step != 1 for step in (*rest, *steps)) or attribute(pool, "auto_pad", "NOTSET") != "NOTSET":
        return None
    before, after = _zeros(pad, rank(squares)) if pad is not None else ([0] * rank(squares), [0] * rank(squares))
    total = [(a + b, c + d) for a, b, c, d in zip(before[2:], around[:axes], after[2:], around[axes:], strict=True)]
    if any(before[:2]) or any(after[:2]) or any(map(any, total[1:])):
        return None
    return size if total[0] == (size // 2, (size - 1) // 2) else None


def _zeros(pad: ir.Node, full: int) -> tuple[list[int], list[int]]:
    """Read how many zeros a Pad adds before and after each axis; -1 where it is another Pad."""
    amounts, value = constant_input(pad, 1), input_value(pad, 2)
    number = _number(constant(value)) if value is not None else 0.0
    plain = str(attribute(pad, "mode", "constant")) == "constant" and number == 0.0 and input_value(pad, 3) is None
    if not plain or amounts is None:
        return [-1] * full, [-1] * full
    given = [int(amount) for amount in amounts]
    return given[:full], given[full:]


def _write(r: Rewriting, size: int, before: int, alpha: float, beta: float, k: float) -> None:
    x = r.input(0)
    full, sizes = rank(x), shape(x)
    if full < 3 or not is_float(x):
        return
    channels, space = sizes[1], sizes[2:]
    squares = r.transpose(r.apply("Mul", x, x), (0, *range(2, full), 1))
    rows = r.reshape(squares, (sizes[0], 1, math.prod(space), channels))
    pool: dict[str, AttributeValue] = {
        "kernel_shape": [1, size],
        "pads": [0, before, 0, size - 1 - before],
        "strides": [1, 1],
        "dilations": [1, 1],
        "count_include_pad": 1,
        "ceil_mode": 0,
    }
    means = r.reshape(r.apply("AveragePool", rows, **pool), (sizes[0], *space, channels))
    means = r.transpose(means, (0, full - 1, *range(1, full - 1)))
    base = r.apply("Add", r.apply("Mul", means, r.number(alpha, "alpha")), r.number(k, "bias"))
    r.finish(r.apply("Mul", x, r.apply("Pow", base, r.number(-beta, "beta"))))


def _behind(value: ir.Value | None) -> Iterator[ir.Node]:
    """Walk back through moves of data and pools to the node that computes what they move."""
    node = value.producer() if value is not None else None
    while node is not None and (facts(node.op_type).moves or facts(node.op_type).averages):
        yield node
        node = node.inputs[0].producer() if node.inputs[0] is not None else None


def _producer(node: ir.Node | None, index: int, op_type: str) -> ir.Node | None:
    """Find the node that computes an input, if it is of this type."""
    value = input_value(node, index) if node is not None else None
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == op_type else None


def _squared(node: ir.Node) -> ir.Value | None:
    """Find x where the first input of a node is x * x or x ** 2."""
    product, power = _producer(node, 0, "Mul"), _producer(node, 0, "Pow")
    if product is not None and product.inputs[0] is product.inputs[1]:
        return product.inputs[0]
    if power is not None and _number(constant(input_value(power, 1))) == 2.0:
        return power.inputs[0]
    return None


def _number(array: Array | None) -> float | None:
    return float(np.ravel(array)[0]) if array is not None and array.size == 1 else None
