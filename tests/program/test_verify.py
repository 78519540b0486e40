"""Each invariant broken by hand, and the text that says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from intaglio_tests.bit_exact import rule_of, single_operator_program

from intaglio.errors import ProgramError
from intaglio.number import INT8, INT16, INT32, UINT8, IntType, PerChannel, QuantParams, Requantize, Rule
from intaglio.program import OPERATORS, Node, Program
from intaglio.program.field_bounds import field_bounds
from intaglio.program.operator import Operator
from intaglio.program.operators.add import Add
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.expand import Expand
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.gather_elements import GatherElements
from intaglio.program.operators.integer_arithmetic import IntegerArithmetic
from intaglio.program.operators.integer_cumsum import IntegerCumSum
from intaglio.program.operators.layer_norm import LayerNorm
from intaglio.program.operators.log_softmax import LogSoftmax
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.matmul import MatMul
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.mul import Mul
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.prelu import PRelu
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.resize_bilinear import ResizeBilinear
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.softmax import Softmax
from intaglio.program.operators.softmax_tflite import SoftmaxTflite
from intaglio.program.operators.transpose import Transpose
from intaglio.program.sampling import grid

Change = Callable[[Program], None]


def tensor(name: str, /, **fields: Any) -> Change:
    def change(program: Program) -> None:
        program.tensors[name] = dataclasses.replace(program.tensors[name], **fields)

    return change


def node(output: str, /, **fields: Any) -> Change:
    """Change a node, or (with names of its operator's fields) its operator."""

    def change(program: Program) -> None:
        at = next(i for i, n in enumerate(program.nodes) if n.output == output)
        old = program.nodes[at]
        own = {k: v for k, v in fields.items() if k in {f.name for f in dataclasses.fields(Node)}}
        rest = {k: v(getattr(old.operator, k)) if callable(v) else v for k, v in fields.items() if k not in own}
        operator = dataclasses.replace(old.operator, **rest) if rest else old.operator
        program.nodes[at] = dataclasses.replace(old, **({"operator": operator} | own))

    return change


def attribute(name: str, value: Any) -> Change:
    return lambda program: setattr(program, name, value)


def constant(array: np.ndarray) -> Change:
    return lambda program: program.constants.update(shift=array)


class Unknown(Reshape):
    pass


def factor(multiplier: Any = 1 << 30, shift: Any = 3, rule: Rule = Rule.HALF_UP, wide: bool = False) -> Requantize:
    return Requantize(np.asarray(multiplier, np.int32), np.asarray(shift, np.int32), rule, wide)


CHANGES: list[tuple[str, Change, str]] = [
    ("no inputs", attribute("inputs", ()), "expected at least one input, got none"),
    ("no outputs", attribute("outputs", ()), "expected at least one output"),
    ("repeated output", attribute("outputs", ("class", "class")), "output names repeat: class, class"),
    (
        "undeclared output",
        attribute("outputs", ("probabilities",)),
        "'probabilities': named as input, output or constant but",
    ),
    ("key and name", tensor("flat", name="flatter"), "tensor 'flat': its record is named 'flatter'"),
    ("input and constant", attribute("inputs", ("image", "offset", "shift")), "'shift': is an input and a constant"),
    ("missing input", attribute("inputs", ("image",)), "node 'moved.node': reads 'offset' before anything has made it"),
    (
        "wrong order",
        lambda p: p.nodes.reverse(),
        "node 'class.node': reads 'logits' before anything has made it; order",
    ),
    ("repeated node", node("flat", name="conv.node"), "node 'conv.node': expected a unique, non-empty name"),
    ("unnamed node", node("flat", name=""), "node '': expected a unique, non-empty name"),
    (
        "undeclared tensor",
        lambda p: p.tensors.pop("flat") and None,
        "node 'flat.node': its output 'flat' is not declared",
    ),
    ("made twice", node("flat", output="pooled"), "'pooled' is made a second time"),
    (
        "never made",
        lambda p: p.nodes.pop() and None,
        "tensor 'class': declared, but no node, input or constant makes it",
    ),
    (
        "shape",
        tensor("conv", shape=(1, 6, 5, 5)),
        r"conv2d: makes shape \(1, 6, 5, 4\), but 'conv' declares \(1, 6, 5, 5\)",
    ),
    ("type", tensor("conv", type=INT8, params=None), "conv2d: makes uint8, but 'conv' is int8"),
    (
        "empty shape",
        tensor("conv", shape=(1, 0, 5, 4)),
        r"tensor 'conv': expected sizes of 1 and more, got shape \(1, 0, 5, 4\)",
    ),
    (
        "huge shape",
        tensor("conv", shape=(1, 1 << 31, 5, 4)),
        r"tensor 'conv': shape .* of uint8 takes \d+ bytes, expected less than 2\*\*31",
    ),
    (
        "unsigned 32 bits",
        tensor("conv", type=IntType(32, signed=False)),
        "tensor 'conv': expected a type of up to 16 bits, or int32, got uint32",
    ),
    ("rank", tensor("conv", shape=(1,) * 9), "expected at most 8 axes, got 9"),
    ("batch", tensor("flat", shape=(2, 4)), "expected a batch of 1 in axis 0 of a batched program, got shape"),
    ("axes", tensor("conv", axes=(0, 1, 2, 2)), r"axes \(0, 1, 2, 2\) are no order of \(1, 6, 5, 4\)"),
    ("params", tensor("conv", params=grid(INT8, 0.1)), "tensor 'conv': is uint8, but its parameters are for int8"),
    (
        "scales",
        tensor("conv", params=QuantParams(UINT8, np.ones(3), np.zeros(3, int), PerChannel(3))),
        r"tensor 'conv': expected scales of shape \(4,\), got \(3,\)",
    ),
    (
        "axis of scales",
        tensor("conv", params=QuantParams(UINT8, np.ones(3), np.zeros(3, int), PerChannel(7))),
        "tensor 'conv': granularity: axis 7 is outside",
    ),
    (
        "constant shape",
        constant(np.zeros(3, np.int8)),
        r"constant 'shift': expected int8 of shape \(4,\), got int8 of \(3,\)",
    ),
    ("constant dtype", constant(np.zeros(4, np.int16)), "constant 'shift': expected int8 of shape .* got int16"),
    (
        "constant range",
        constant(np.array([0, 0, 8, 0], np.int8)),
        "constant 'shift': holds values that are no codes of int4",
    ),
    ("unknown operator", node("flat", operator=Unknown((-1, 4))), "node 'flat.node': operator 'reshape' is not known"),
    ("number of inputs", node("flat", inputs=("pooled", "shift")), "reshape: expected 1 inputs, got 2"),
    ("mixed samples", node("flat", to=(1, 4)), "shape .* cannot become"),
    (
        "rule of the program",
        attribute("rule", Rule.TFLITE),
        "conv2d: requantize rounds by half_up, the program by tflite",
    ),
    (
        "rule of a factor",
        node("conv", requantize=factor(rule=Rule.TFLITE)),
        "requantize rounds by tflite, the program by half_up",
    ),
    ("multiplier", node("conv", requantize=factor((1 << 30) - 1)), "conv2d: requantize: multiplier is not normalised"),
    ("shift", node("conv", requantize=factor(shift=32)), "conv2d: requantize: shift: expected -30 to 31, got 32"),
    (
        "multipliers",
        node("conv", requantize=factor([1 << 30] * 3, [0] * 3)),
        r"expected 1 or 4 multipliers, got shape \(3,\)",
    ),
    ("zero point of x", node("conv", x_zero_point=256), r"conv2d: x_zero_point 256 is no code of uint8 \(0 to 255\)"),
    ("zero point of y", node("conv", y_zero_point=-1), "conv2d: y_zero_point -1 is no code of uint8"),
    ("zero point of b", node("shifted", b_zero_point=8), "add: b_zero_point 8 is no code of int4"),
    (
        "zero point of w",
        node("conv", weight_zero_point=np.int32(9).reshape(())),
        "weight_zero_point 9 is no code of int4n",
    ),
    ("clamp order", node("conv", low=9, high=8), r"conv2d: clamp \[9, 8\] is not within uint8"),
    ("clamp range", node("conv", high=256), r"clamp \[0, 256\] is not within uint8 \(0 to 255\)"),
    ("weight range", node("conv", weight=lambda w: w - 4), "conv2d: expected weights of int4n, got int8 from"),
    ("weight dtype", node("conv", weight=lambda w: w.astype(np.int16)), "expected weights of int4n, got int16"),
    (
        "weight of floats",
        node("conv", weight=lambda w: w.astype(np.float32)),
        "conv2d: weight must hold integers, got float32",
    ),
    ("weight type", node("conv", weight_type=INT32, weight=lambda w: w.astype(np.int32)), "expected weights of int32"),
    ("weight rank", node("conv", weight=lambda w: w[0]), "expected a weight of 4 axes"),
    (
        "weight shape",
        node("conv", weight=lambda w: w[..., :2]),
        r"weight \(4, 3, 3, 2\) in 1 groups does not fit an input",
    ),
    ("groups", node("conv", groups=0), "conv2d: groups: expected 1 to 2147483647, got 0"),
    ("strides", node("conv", strides=(0, 1)), "conv2d: strides: expected 1 to 2147483647, got 0"),
    ("number of strides", node("conv", strides=(1,)), "expected two kernel sizes, strides"),
    ("pads", node("conv", pads=(0, -1, 0, 0)), "conv2d: pads: expected 0 to 2147483647, got -1"),
    ("window", node("conv", dilations=(9, 9)), r"a window of \(3, 3\) does not fit an image"),
    ("number of biases", node("conv", bias=lambda b: b[:3]), "expected 4 biases of int32, got"),
    (
        "bias dtype",
        node("conv", bias=lambda b: b.astype(np.int64) + (1 << 40)),
        "expected 4 biases of int32, got .* of int64",
    ),
    (
        "bias overflow",
        node("conv", bias=np.full(4, (1 << 31) - 1, np.int32)),
        r"accumulators may reach \d+, expected less than 2\*\*31",
    ),
    ("width of dense", node("logits", weight=lambda w: w[:, :3]), "weight .* does not fit an input of shape"),
    ("a field of None", node("conv", low=None), "the parameters of conv2d do not fit each other"),
    ("axis of argmax", node("class", axis=2), "argmax: expected different axes from 0 to 1"),
    ("argmax over the batch", node("class", axis=0), r"argmax: makes shape \(10,\)"),
]


@pytest.mark.parametrize(("change", "text"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_broken_invariant_is_found(small_program: Program, change: Change, text: str) -> None:
    small_program.verify()
    change(small_program)
    with pytest.raises(ProgramError, match=text):
        small_program.verify()


def test_a_batch_must_stay_a_batch(small_program: Program) -> None:
    """With a batch of 1 the shapes are right, with more they are not."""
    at = next(i for i, n in enumerate(small_program.nodes) if n.output == "image.last")
    mixing = Transpose((0, 2, 3, 1))
    small_program.nodes[at] = dataclasses.replace(small_program.nodes[at], operator=mixing)
    small_program.verify()
    at = next(i for i, n in enumerate(small_program.nodes) if n.output == "flat")
    small_program.nodes[at] = dataclasses.replace(small_program.nodes[at], operator=Reshape((1, 4)))
    with pytest.raises(ProgramError, match="node 'flat.node': reshape: shape .* cannot become"):
        small_program.verify()


def test_axes_of_the_batch_may_not_be_reduced() -> None:
    x = np.zeros((1, 1, 3), np.int8)
    p = grid(INT8, 0.1)
    operator = ReduceSum.from_real(p, p, axes=(0,), keepdims=True, count=1, rule=Rule.HALF_UP)
    program = single_operator_program(operator, (x,))
    program.verify()
    program.batched = True
    with pytest.raises(
        ProgramError, match=r"reduce_sum: mixes the samples of a batch: 7 samples give shape \(1, 1, 3\)"
    ):
        program.verify()


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_a_batch_may_not_be_read_along(kind: str) -> None:
    """Operators that keep the shape and read along axis 0 say so."""
    for operator, inputs in OPERATORS[kind].samples(np.random.default_rng(3)):
        if operator.mixes_samples():
            program = single_operator_program(operator, tuple(x[:1] for x in inputs))
            program.verify()
            program.batched = True
            with pytest.raises(ProgramError, match=f"{kind}: mixes the samples of a batch: it reads along axis 0"):
                program.verify()


def first(cls: type[Operator], index: int = 0) -> tuple[Operator, tuple[np.ndarray, ...]]:
    return list(cls.samples(np.random.default_rng(3)))[index]


def grown(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, array[:1]])


OPERATOR_CHANGES: list[tuple[type[Operator], dict[str, Any], str]] = [
    (Add, {"left_shift": 21}, "left_shift: expected 0 to 20, got 21"),
    (Add, {"b_sign": 0}, "expected a sign of -1 or 1, got 0"),
    (Add, {"a_requantize": factor([1 << 30] * 5, [0] * 5)}, "expected scalar factors of 32 bits"),
    (Add, {"a_requantize": factor(shift=-1)}, "the factors of the operands must be at most 1/2"),
    (Mul, {"requantize": factor([1 << 30] * 5, [0] * 5)}, "expected one multiplier"),
    (MatMul, {"requantize": factor([1 << 30] * 5, [0] * 5)}, "expected one multiplier"),
    (AveragePool2d, {"counts": np.asarray(0, np.int32)}, "expected int32 counts"),
    (AveragePool2d, {"counts": np.asarray(5, np.int32)}, "from 1 to 4"),
    (AveragePool2d, {"requantize": factor([1 << 30] * 3, [0] * 3)}, "expected 1 multiplier or"),
    (MaxPool2d, {"pads": (2, 0, 0, 0)}, r"a window of \(2, 2\) with pads .* sees padding only"),
    (Gather, {"indices": np.array([0, 6])}, "expected int32 indices from 0 to 5"),
    (Gather, {"indices": np.array([-1])}, "expected int32 indices from 0 to 5"),
    (Gather, {"axis": 4}, "axis 4 is outside a shape"),
    (Slice, {"starts": (6,)}, r"6:5:2 is not within axis 1"),
    (Slice, {"steps": (0,)}, "1:5:0 is not within axis 1"),
    (Slice, {"stops": (7,)}, "1:7:2 is not within"),
    (Slice, {"stops": (1,)}, "1:1:2 is not within"),
    (Slice, {"axes": (4,)}, "expected different axes from 0 to 3"),
    (Slice, {"starts": (1, 2)}, "expected equal counts"),
    (Pad, {"before": (0, 1)}, "do not fit shape"),
    (Pad, {"before": (0, -4, 0, 0)}, "do not fit shape"),
    (Pad, {"value": 128}, "value 128 is no code of int8"),
    (GatherElements, {"axis": 1}, r"expected indices of the shape of the data, \(2, 4, 5\), beside axis 1, got"),
    (GatherElements, {"axis": 3}, "expected different axes from 0 to 2"),
    (Concat, {"axis": 4}, "axis 4 is outside a shape"),
    (IntegerArithmetic, {"function": "div"}, "expected one of add, sub, mul, min, max, got 'div'"),
    (IntegerCumSum, {"axis": 3}, "expected different axes from 0 to 2"),
    (Concat, {"axis": 2}, "differ in more than axis 2"),
    (Transpose, {"axes": (0, 1, 2, 2)}, "are no order of a shape"),
    (Expand, {"to": (-1, 4, 2)}, "does not expand to"),
    (Reshape, {"to": (-1, 0)}, "cannot become"),
    (Reshape, {"to": (0, 24)}, "cannot become"),
    (Reshape, {"to": (5, 5)}, "cannot become"),
    (Lut, {"table": np.zeros(255, np.int8)}, "expected tables of 256 entries for int8, got shape"),
    (Lut, {"table": np.zeros((4, 256), np.int8)}, "4 tables do not fit an input"),
    (Lut, {"table": np.zeros(256, np.int16)}, "values that are no codes of int8"),
    (Lut, {"starts": np.zeros(512, np.uint16)}, "expected starts and shifts of blocks, or neither"),
    (Lut, {"in_type": UINT8}, "expected an input of uint8, got int8"),
    (PRelu, {"sign": np.asarray(2, np.int8)}, "expected signs of -1, 0 and 1"),
    (PRelu, {"negative": factor([1 << 30] * 3, [0] * 3)}, r"expected 1 slope or \(4,\), got shape \(3,\)"),
    (ResizeBilinear, {"rows": np.full((10, 2), 5, np.int32)}, "expected indices from 0 to 4"),
    (ResizeBilinear, {"row_weights": np.full((10, 2), 1025, np.int32)}, r"expected weights with sum 2\*\*11"),
    (ResizeBilinear, {"fill": 128}, "fill 128 is no code of int8"),
    (Softmax, {"exp_low": np.zeros(256, np.int32)}, "expected a low table of 256 int32 entries"),
    (Softmax, {"exp_high": np.full(2, 1 << 30, np.int32)}, "expected a high table of 1 int32 entries"),
    (SoftmaxTflite, {"diff_min": -(1 << 30)}, "reaches below -32 after the shift"),
    (LogSoftmax, {"log_table": np.zeros(256, np.int32)}, "expected a log table of 257 int32 entries"),
    (LogSoftmax, {"difference": factor(shift=-30)}, r"accumulators may reach \d+, expected less than 2\*\*31"),
    (LayerNorm, {"gain": np.zeros(2, np.int16)}, "expected .* gains"),
    (LayerNorm, {"gain": np.zeros(1, np.int32)}, "expected .* gains"),
    (LayerNorm, {"epsilon": (1 << 62) - 1}, "exceed 62 bits"),
    (LayerNorm, {"bias": np.full(1, (1 << 31) - 1, np.int32)}, "accumulators may reach"),
]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"starts": np.zeros(511, np.uint16)}, "expected 512 starts of uint16 and as many shifts of uint8"),
        ({"shifts": np.zeros(512, np.int8)}, "expected 512 starts of uint16 and as many shifts of uint8"),
        ({"shifts": np.full(512, 8, np.uint8)}, "expected shifts of at most 7, got 8"),
        ({"starts": np.full(512, 65535, np.uint16)}, r"a block ends at knot \d+ of a table of \d+"),
        ({"shifts": np.zeros(512, np.uint8)}, r"a block ends at knot \d+ of a table of \d+"),
        ({"shifts": None}, "expected starts and shifts of blocks, or neither"),
    ],
)
def test_blocks_of_knots_stay_within_their_table(fields: dict[str, Any], text: str) -> None:
    x, y = grid(INT16, 8.0 / 65536), grid(INT16, 10.0 / 65536)
    operator = Lut.from_real(x, y, lambda v: np.log(np.abs(v)))
    assert operator.starts is not None
    with pytest.raises(ProgramError, match=text):
        dataclasses.replace(operator, **fields).check_types(INT16)


@pytest.mark.parametrize(
    ("cls", "fields", "text"), OPERATOR_CHANGES, ids=lambda v: v.kind if isinstance(v, type) else ""
)
def test_operators_check_their_own_parameters(cls: type[Operator], fields: dict[str, Any], text: str) -> None:
    operator, inputs = first(cls)
    program = single_operator_program(operator, inputs)
    program.verify()
    program.nodes[0] = dataclasses.replace(program.nodes[0], operator=dataclasses.replace(operator, **fields))
    with pytest.raises(ProgramError, match=text):
        program.verify()


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_every_integer_field_has_a_bound_beyond_which_it_is_refused(kind: str) -> None:
    operator, inputs = first(OPERATORS[kind])
    program = single_operator_program(operator, inputs)
    for name, bound in field_bounds(OPERATORS[kind]).items():
        wide = (kind, name) == ("layer_norm", "epsilon")  # the one field that C keeps in 64 bits
        assert -(1 << 31) <= bound.low <= bound.high < 1 << (62 if wide else 31)
        for value in (bound.low - 1, bound.high + 1):
            fields = {name: (value,) if isinstance(getattr(operator, name), tuple) else value}
            program.nodes[0] = dataclasses.replace(program.nodes[0], operator=dataclasses.replace(operator, **fields))
            with pytest.raises(ProgramError, match=f"{kind}: {name}: expected {bound}, got {value}"):
                program.verify()


def test_an_integer_field_without_a_bound_is_found_at_once() -> None:
    @dataclasses.dataclass(frozen=True, eq=False)
    class Careless:
        axes: tuple[int, ...]

    with pytest.raises(AssertionError, match=r"Careless\.axes: give its integers a bound"):
        field_bounds(Careless)


@pytest.mark.parametrize("kind", ["conv2d", "max_pool2d", "average_pool2d"])
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("strides", (1 << 27, 1), "a stride spans"),
        ("dilations", (1 << 27, 1), "a dilation spans"),
        ("pads", (1 << 27, 0, 0, 0), "the padded image spans"),
    ],
)
def test_windows_reach_no_farther_than_c_can_add(kind: str, name: str, value: tuple[int, ...], text: str) -> None:
    """Each field alone is in its bound; C adds two offsets of them in 32 bits."""
    operator, inputs = first(OPERATORS[kind])
    program = single_operator_program(operator, inputs)
    changed = dataclasses.replace(operator, **{name: value})
    program.nodes[0] = dataclasses.replace(program.nodes[0], operator=changed)
    with pytest.raises(ProgramError, match=rf"{kind}: {text} \d+ elements of a shape .*, expected less than 2\*\*29"):
        program.verify()


def test_operands_have_to_broadcast() -> None:
    operator, _ = first(Mul)
    inputs = (np.zeros((2, 3), np.int8), np.zeros((2, 4), np.int8))
    good = single_operator_program(operator, (inputs[0], inputs[0]))
    good.tensors["x1"] = dataclasses.replace(good.tensors["x1"], shape=(2, 4))
    with pytest.raises(ProgramError, match=r"mul: shapes \(2, 3\) and \(2, 4\) do not broadcast"):
        good.verify()


def test_parts_of_one_type() -> None:
    program = single_operator_program(*first(Concat))
    program.tensors["x1"] = dataclasses.replace(program.tensors["x1"], type=UINT8)
    with pytest.raises(ProgramError, match="concat: expected inputs of one type, got int8, uint8, int8"):
        program.verify()


def test_sixteen_bit_sums_have_to_be_wide() -> None:
    a = grid(INT16, 0.1)
    operator = MatMul.from_real(a, a, grid(INT8, 100.0), depth=64, rule=Rule.HALF_UP)
    assert operator.requantize.wide
    x = np.zeros((1, 64), np.int16), np.zeros((64, 1), np.int16)
    program = single_operator_program(operator, x)
    program.verify()
    narrow = dataclasses.replace(operator, requantize=Requantize.from_real(1e-4, Rule.HALF_UP))
    program.nodes[0] = dataclasses.replace(program.nodes[0], operator=narrow)
    with pytest.raises(ProgramError, match=r"accumulators may reach 68719476736, expected less than 2\*\*31"):
        program.verify()


def test_under_the_rule_shift_only_counts_and_slopes_may_round_otherwise() -> None:
    p = grid(INT8, 0.25)
    mean = ReduceSum.from_real(p, p, axes=(1,), keepdims=False, factor=1 / 3, count=3, rule=Rule.SHIFT)
    assert mean.requantize.rule is Rule.HALF_UP
    program = single_operator_program(mean, (np.zeros((1, 3), np.int8),))
    assert rule_of(mean) is Rule.HALF_UP
    program.rule = Rule.SHIFT
    program.verify()
    program = single_operator_program(Mul.from_real(p, p, p, rule=Rule.HALF_UP), (np.zeros((1, 3), np.int8),) * 2)
    program.rule = Rule.SHIFT
    with pytest.raises(ProgramError, match="mul: requantize rounds by half_up, the program by shift"):
        program.verify()


OFFSETS = [
    (kind, name) for kind in OPERATORS for name in "xab" if f"{name}_zero_point" in field_bounds(OPERATORS[kind])
]


@pytest.mark.parametrize(("kind", "name"), OFFSETS)
def test_no_code_lies_further_from_its_zero_point_than_int32_holds(kind: str, name: str) -> None:
    operator, inputs = next(iter(OPERATORS[kind].samples(np.random.default_rng(0))))
    wide = tuple(x.astype(np.int32) for x in inputs)
    with pytest.raises(ProgramError):
        single_operator_program(dataclasses.replace(operator, **{f"{name}_zero_point": 1}), wide).verify()


def test_the_offset_of_a_factor_fits_int32_although_the_product_is_wide() -> None:
    """-2**31 - 13057 overflowed before it was multiplied."""
    fields = {"a_zero_point": 13057, "b_zero_point": 0, "y_zero_point": 0, "low": -128, "high": 127, "out": INT8}
    product = Mul(requantize=Requantize.from_real(2.0**-40, Rule.HALF_UP, wide=True), **fields)
    inputs = (np.zeros(4, np.int32), np.zeros(4, np.int8))
    with pytest.raises(ProgramError, match="a_zero_point 13057: codes of int32 lie up to 2147496705 away from it"):
        single_operator_program(product, inputs).verify()
    single_operator_program(dataclasses.replace(product, a_zero_point=0), inputs).verify()
