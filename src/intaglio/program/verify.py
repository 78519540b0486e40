"""Every invariant of a Program, checked again: what a damaged or lying file could break, this finds.

Names and order, shapes, types, parameters against each other, multipliers, clamps, constants, and the proof that no
accumulator overflows, from the weights themselves. A Program that passes runs without undefined behaviour everywhere.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from intaglio.errors import IntaglioError, ProgramError
from intaglio.number import INT32, IntType, Requantize
from intaglio.program.factors import same_params
from intaglio.program.field_bounds import INT32_MAX, MAX_RANK, bound_problem
from intaglio.program.operator import OPERATORS, Operator, Shape
from intaglio.program.structure import Node, ProgramState, ProgramStructure, TensorInfo

C_INTEGERS = ("i1", "u1", "i2", "u2", "i4", "i8")  # NumPy's names of the integer types that generated C has
BATCH = 7  # a batch size that no shape of a file is likely to hold by accident


def verify(program: ProgramStructure) -> None:
    """Check every invariant.

    Raises:
        ProgramError: the first one that does not hold, with the node's or tensor's name, expected and got.
    """
    _verify_names(program)
    for info in program.tensors.values():
        _verify_tensor(program, info)
    for name in program.constants:
        _verify_constant(program, name)
    for state in program.states:
        _expect(
            isinstance(state, ProgramState) and isinstance(state.initial, np.ndarray),
            f"states: expected a ProgramState with an array of initial codes for each, got {state!r:.80}; declare them "
            "with `Program.with_states`",
        )
    for state in program.states:
        _verify_state(program, state)
    for name in program.float_ends:
        _verify_float_end(program, name)
    for node in program.nodes:
        try:
            _verify_node(program, node)
        except IntaglioError as error:
            raise ProgramError(f"node '{node.name}': {error}") from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ProgramError(
                f"node '{node.name}': the parameters of {node.operator.kind} do not fit each other ({error})"
            ) from error


def _verify_names(program: ProgramStructure) -> None:
    for kind, names in (("input", program.inputs), ("output", program.outputs)):
        _expect(len(names) > 0, f"program: expected at least one {kind}, got none")
        _expect(len(set(names)) == len(names), f"program: {kind} names repeat: {', '.join(names)}")
    for key, info in program.tensors.items():
        _expect(bool(key) and key == info.name, f"tensor '{key}': its record is named '{info.name}'")
    for name in (*program.inputs, *program.outputs, *program.constants):
        _expect(name in program.tensors, f"tensor '{name}': named as input, output or constant but not declared")
    both = set(program.inputs) & set(program.constants)
    _expect(not both, f"tensor '{min(both, default='')}': is an input and a constant; it can be only one")
    ready = {*program.inputs, *program.constants}
    seen = set()
    for node in program.nodes:
        _expect(bool(node.name) and node.name not in seen, f"node '{node.name}': expected a unique, non-empty name")
        seen.add(node.name)
        for name in node.inputs:
            _expect(name in ready, f"node '{node.name}': reads '{name}' before anything has made it; order the nodes")
        _expect(node.output in program.tensors, f"node '{node.name}': its output '{node.output}' is not declared")
        _expect(node.output not in ready, f"node '{node.name}': '{node.output}' is made a second time")
        ready.add(node.output)
    missing = set(program.tensors) - ready
    _expect(not missing, f"tensor '{min(missing, default='')}': declared, but no node, input or constant makes it")


def _verify_tensor(program: ProgramStructure, info: TensorInfo) -> None:
    where, shape = f"tensor '{info.name}'", info.shape
    _expect(len(shape) <= MAX_RANK, f"{where}: expected at most {MAX_RANK} axes, got {len(shape)}")
    _expect(all(n >= 1 for n in shape), f"{where}: expected sizes of 1 and more, got shape {shape}")
    nbytes = math.prod(shape) * info.type.dtype.itemsize
    _expect(
        nbytes <= INT32_MAX,
        f"{where}: shape {shape} of {info.type} takes {nbytes} bytes, expected less than 2**31, because C counts in "
        "32 bits; use smaller inputs",
    )
    _expect(
        info.type.bits <= 16 or info.type == INT32,
        f"{where}: expected a type of up to 16 bits, or int32, got {info.type}",
    )
    if program.batched and info.name not in program.constants:
        _expect(shape[:1] == (1,), f"{where}: expected a batch of 1 in axis 0 of a batched program, got shape {shape}")
    if info.axes is not None:
        _expect(sorted(info.axes) == list(range(len(shape))), f"{where}: axes {info.axes} are no order of {shape}")
    if info.params is not None:
        _expect(
            info.params.type == info.type, f"{where}: is {info.type}, but its parameters are for {info.params.type}"
        )
        try:
            want = info.params.granularity.param_shape(shape)
        except IntaglioError as error:
            raise ProgramError(f"{where}: {error}") from error
        got = info.params.scale.shape
        _expect(got == want, f"{where}: expected scales of shape {want}, got {got}")


def _verify_constant(program: ProgramStructure, name: str) -> None:
    array, info = program.constants[name], program.tensors[name]
    _expect(
        array.shape == info.shape and array.dtype == info.type.dtype,
        f"constant '{name}': expected {info.type.dtype} of shape {info.shape}, got {array.dtype} of {array.shape}",
    )
    _expect(info.type.holds(array), f"constant '{name}': holds values that are no codes of {info.type}")


def _verify_state(program: ProgramStructure, state: ProgramState) -> None:
    where = f"state '{state.input}'"
    for kind, name, known, named in (
        ("an input", state.input, program.inputs, [s.input for s in program.states]),
        ("an output", state.output, program.outputs, [s.output for s in program.states]),
    ):
        _expect(name in known, f"{where}: expected {kind} of the program, got '{name}'")
        _expect(named.count(name) == 1, f"{where}: '{name}' is in several states")
    before, after = program.tensors[state.input], program.tensors[state.output]
    _expect(
        before.shape == after.shape and before.type == after.type,
        f"{where}: is {before.type} of shape {before.shape}, but '{state.output}' is {after.type} of {after.shape}",
    )
    same = (before.params is None) == (after.params is None)
    if before.params is not None and after.params is not None:
        same = same_params(before.params, after.params)
    _expect(same, f"{where}: its codes mean other numbers than those of '{state.output}'")
    _expect(
        state.initial.shape == before.shape
        and state.initial.dtype == before.type.dtype
        and before.type.holds(state.initial),
        f"{where}: expected initial codes of {before.type} in shape {before.shape}, got {state.initial.dtype} of "
        f"{state.initial.shape}",
    )


def _verify_float_end(program: ProgramStructure, name: str) -> None:
    ends = (*program.inputs, *program.outputs)
    _expect(ends.count(name) == 1, f"float end '{name}': expected one input or output of the program")
    _expect(program.float_ends.count(name) == 1, f"float end '{name}': is named twice")
    params = program.tensors[name].params
    _expect(params is not None and params.scale.ndim == 0, f"float end '{name}': expected one scale and zero point")
    state = any(name in (state.input, state.output) for state in program.states)
    _expect(not state, f"float end '{name}': expected no state, which keeps its codes")


def _verify_node(program: ProgramStructure, node: Node) -> None:
    operator = node.operator
    _expect(OPERATORS.get(operator.kind) is type(operator), f"operator '{operator.kind}' is not known")
    if operator.operands is None:
        _expect(len(node.inputs) >= 1, f"{operator.kind}: expected at least 1 input, got none")
    else:
        got = len(node.inputs)
        _expect(got == operator.operands, f"{operator.kind}: expected {operator.operands} inputs, got {got}")
    declared = program.tensors[node.output]
    shapes = tuple(program.tensors[name].shape for name in node.inputs)
    types = tuple(program.tensors[name].type for name in node.inputs)
    problem = bound_problem(operator)
    _expect(problem is None, f"{operator.kind}: {problem}")
    operator.check(*shapes)
    made = operator.shape(*shapes)
    _expect(
        made == declared.shape, f"{operator.kind}: makes shape {made}, but '{node.output}' declares {declared.shape}"
    )
    made_type = operator.out_type(*types)
    _expect(made_type == declared.type, f"{operator.kind}: makes {made_type}, but '{node.output}' is {declared.type}")
    _verify_fields(program, operator, types, made_type)
    operator.check_types(*types)
    if program.batched:
        _verify_batch(program, node, shapes, made)
    _verify_accumulator(operator, shapes, types)


def _verify_batch(program: ProgramStructure, node: Node, shapes: tuple[Shape, ...], made: Shape) -> None:
    pairs = zip(node.inputs, shapes, strict=True)
    many = [shape if name in program.constants else (BATCH, *shape[1:]) for name, shape in pairs]
    if not any(name not in program.constants for name in node.inputs):
        raise ProgramError(f"{node.operator.kind}: reads constants only, which leaves its output without a batch")
    node.operator.check(*many)
    if node.operator.mixes_samples():
        raise ProgramError(f"{node.operator.kind}: mixes the samples of a batch: it reads along axis 0")
    got = node.operator.shape(*many)
    _expect(
        got == (BATCH, *made[1:]),
        f"{node.operator.kind}: mixes the samples of a batch: {BATCH} samples give shape {got}",
    )


def _verify_fields(program: ProgramStructure, operator: Operator, types: tuple[IntType, ...], out: IntType) -> None:
    """The fields whose names have one meaning everywhere."""
    fields = {f.name: getattr(operator, f.name) for f in dataclasses.fields(operator)}
    for name, value in fields.items():
        if isinstance(value, Requantize):
            problem = value.problem()
            _expect(problem is None, f"{operator.kind}: {name}: {problem}")
            _expect(
                value.rule in operator.factor_rules(program.rule),
                f"{operator.kind}: {name} rounds by {value.rule.value}, the program by {program.rule.value}",
            )
        elif isinstance(value, np.ndarray):
            _expect(value.dtype.kind in "iu", f"{operator.kind}: {name} must hold integers, got {value.dtype}")
            _expect(
                value.dtype.str[1:] in C_INTEGERS,
                f"{operator.kind}: {name}: expected int32 or int64 beyond 16 bits, got {value.dtype}",
            )
    _verify_zero_points(operator.kind, fields, types, out)
    if "low" in fields:
        low, high = fields["low"], fields["high"]
        _expect(
            out.qmin <= low <= high <= out.qmax,
            f"{operator.kind}: clamp [{low}, {high}] is not within {out} ({out.qmin} to {out.qmax})",
        )
        _expect(
            out.holds(np.array([low, high])) and (not out.bipolar or _is_sign(fields)),
            f"{operator.kind}: makes values that are neither -1 nor 1, expected the sign of accumulators: "
            "clamp(1 + 2 * acc, -1, 1), or another multiple that is even",
        )
    if "weight" in fields and "weight_type" in fields:
        weight, kind = fields["weight"], fields["weight_type"]
        _expect(
            kind.bits <= 16 and weight.dtype == kind.dtype and kind.holds(weight),
            f"{operator.kind}: expected weights of {kind}, got {weight.dtype} from {weight.min()} to {weight.max()}",
        )


def _is_sign(fields: dict[str, Any]) -> bool:
    """Whether bipolar results are codes: moved, or odd numbers before the clamp."""
    if "y_zero_point" not in fields:
        return True
    factor = fields.get("requantize")
    if not isinstance(factor, Requantize):
        return False
    even = np.frexp(factor.real)[0] == 0.5, factor.real >= 2
    return fields["y_zero_point"] == 1 and bool(np.all(even))


def _verify_zero_points(kind: str, fields: dict[str, Any], types: tuple[IntType, ...], out: IntType) -> None:
    owners = {"x": types[0], "a": types[0], "b": types[-1], "y": out, "weight": fields.get("weight_type", out)}
    for prefix, owner in owners.items():
        value = fields.get(f"{prefix}_zero_point")
        if value is not None:
            codes = np.asarray(value)  # 0 between the bipolar codes is allowed
            _expect(
                bool((codes >= owner.qmin).all() and (codes <= owner.qmax).all()),
                f"{kind}: {prefix}_zero_point {value} is no code of {owner} ({owner.qmin} to {owner.qmax})",
            )
            largest = max(owner.max_abs_offset(int(code)) for code in (codes.min(), codes.max()))
            _expect(  # kernels subtract in int32
                prefix == "y" or not codes.any() or largest <= INT32_MAX,
                f"{kind}: {prefix}_zero_point {value}: codes of {owner} lie up to {largest} away from it, expected at "
                f"most {INT32_MAX}",
            )


def _verify_accumulator(operator: Operator, shapes: tuple[Shape, ...], types: tuple[IntType, ...]) -> None:
    bound = operator.accumulator_bound(shapes, types)
    requantize = getattr(operator, "requantize", None)
    limit = requantize.limit if isinstance(requantize, Requantize) else 1 << 31
    _expect(
        bound < limit,
        f"{operator.kind}: accumulators may reach {bound}, expected less than 2**{limit.bit_length() - 1}",
    )


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise ProgramError(message)
