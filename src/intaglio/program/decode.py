"""A Program from plain data and integer arrays, as `encode` makes them; nothing here knows an operator by name."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import IntaglioError, ProgramError
from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.number.packing import unpack
from intaglio.program.encode import Arrays, Data
from intaglio.program.operator import OPERATORS, Operator
from intaglio.program.program import Program
from intaglio.program.structure import Node, ProgramState, TensorInfo


def program_from_data(data: Data, arrays: Arrays) -> Program:
    """Read what `program_to_data` wrote. The result still has to be verified.

    Raises:
        ProgramError: a field is missing, of a wrong type or unknown; an array is missing or left over.
    """
    left = _with_repeated(arrays, data.get("same", {}))
    try:
        tensors = [_tensor_from_data(record) for record in _list(data["tensors"])]
        by_name = {info.name: info for info in tensors}
        if len(by_name) < len(tensors):
            raise ProgramError("header: tensor names repeat")
        constants = {}
        for name in _names(data["constants"]):
            if name not in by_name:
                raise ProgramError(f"header: constant '{name}' is not among the tensors")
            info = by_name[name]
            constants[name] = _fetch(left, f"constant:{name}", info.type, info.shape)
        program = Program(
            nodes=[_node_from_data(record, left) for record in _list(data["nodes"])],
            tensors=by_name,
            constants=constants,
            inputs=_names(data["inputs"]),
            outputs=_names(data["outputs"]),
            rule=Rule(data["rule"]),
            target=_typed(data["target"], str, "target"),
            batched=_typed(data["batched"], bool, "batched"),
            states=tuple(_states_from_data(data.get("states", {}), by_name, left)),
            float_ends=_names(data.get("float_ends", [])),
            metadata={_typed(k, str, "metadata"): _typed(v, str, "metadata") for k, v in data["metadata"].items()},
        )
    except ProgramError:
        raise
    except KeyError as error:
        raise ProgramError(f"header: {error} is missing") from error
    except (IntaglioError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ProgramError(f"header: {error}") from error
    if left:
        raise ProgramError(f"header: {len(left)} arrays belong to nothing, first '{min(left)}'")
    return program


class _Left(dict[str, NDArray[Any]]):
    """Arrays that no node has taken yet, and packed ones as they were unpacked, each once."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self.unpacked: dict[tuple[int, IntType, tuple[int, ...]], NDArray[Any]] = {}

    def unpack(self, array: NDArray[Any], type: IntType, shape: tuple[int, ...]) -> NDArray[Any]:
        """The codes; one array for nodes that share it, so that a file cannot claim more memory than it has bytes."""
        key = (id(array), type, shape)
        if key not in self.unpacked:
            self.unpacked[key] = unpack(array, type, shape)
        return self.unpacked[key]


def _with_repeated(arrays: Arrays, same: Any) -> _Left:
    """Every array by its own key; those that are equal are one array in memory."""
    found = _Left(arrays)
    for key, first in _typed(same, dict, "same").items():
        if key in found or first not in arrays:
            raise ProgramError(
                f"header: '{key}' is to be the array {first!r}, which the file holds under that key only"
            )
        found[key] = arrays[first]
    return found


def _states_from_data(data: Any, by_name: dict[str, TensorInfo], left: _Left) -> Iterator[ProgramState]:
    for name, output in _typed(data, dict, "states").items():
        if name not in by_name:
            raise ProgramError(f"header: state '{name}' is not among the tensors")
        info = by_name[name]
        initial = _fetch(left, f"state:{name}", info.type, info.shape)
        yield ProgramState(name, _typed(output, str, "state"), initial)


def _tensor_from_data(data: Data) -> TensorInfo:
    return TensorInfo(
        name=_typed(data["name"], str, "tensor name"),
        shape=_integers(data["shape"]),
        type=IntType.parse(data["type"]),
        params=QuantParams.from_json(data["params"]) if "params" in data else None,
        graph_name=_typed(data["graph_name"], str, "graph name") if "graph_name" in data else None,
        axes=_integers(data["axes"]) if "axes" in data else None,
    )


def _node_from_data(data: Data, arrays: _Left) -> Node:
    name, kind = _typed(data["name"], str, "node name"), data["operator"]
    if kind not in OPERATORS:
        raise ProgramError(f"node '{name}': operator {kind!r} is not known to this Intaglio; update it")
    try:
        operator = _fields_from_data(OPERATORS[kind], _typed(data["fields"], dict, "fields"), f"node:{name}", arrays)
    except KeyError as error:
        raise ProgramError(f"node '{name}': {kind}: {error} is missing") from error
    except (IntaglioError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ProgramError(f"node '{name}': {kind}: {error}") from error
    return Node(name, operator, _names(data["inputs"]), _typed(data["output"], str, "output"))


def _fields_from_data(cls: type[Operator], data: Data, key: str, arrays: _Left) -> Operator:
    hints = _hints(cls)
    unknown = set(data) - set(hints)
    if unknown:
        raise ProgramError(f"field '{min(unknown)}' is not known to this Intaglio; update it")
    weight_type = IntType.parse(data["weight_type"]) if "weight_type" in hints else None
    absent = {field.name for field in dataclasses.fields(cls) if field.default is None}
    values: Data = {}
    for name, (kind, optional) in hints.items():
        if name not in data and name in absent:
            continue
        value = data[name]
        if value is None and optional:
            values[name] = None
        elif kind is np.ndarray:
            type = weight_type if name == "weight" else None
            values[name] = _fetch(arrays, f"{key}/{name}", type, _integers(value["shape"]))
        elif kind is Requantize:
            multiplier = _fetch(arrays, f"{key}/{name}.multiplier", None, None)
            shift = _fetch(arrays, f"{key}/{name}.shift", None, None)
            values[name] = Requantize(multiplier, shift, Rule(value["rule"]), _typed(value["wide"], bool, "wide"))
        elif kind is IntType:
            values[name] = IntType.parse(value)
        elif kind is tuple:
            values[name] = _integers(value)
        elif kind is int:
            (values[name],) = _integers([value])
        else:
            values[name] = _typed(value, kind, name)
    return cls(**values)


@cache
def _hints(cls: type[Operator]) -> dict[str, tuple[type, bool]]:
    """Field name to (plain type, may be None)."""
    hints = get_type_hints(cls)
    found = {}
    for field in dataclasses.fields(cls):
        hint, optional = hints[field.name], False
        if get_origin(hint) in (Union, types.UnionType):
            (hint,) = (arg for arg in get_args(hint) if arg is not type(None))
            optional = True
        kind = get_origin(hint) or hint
        assert kind in (int, bool, str, tuple, IntType, Requantize, np.ndarray), (cls, field.name, kind)
        found[field.name] = (kind, optional)
    return found


def _fetch(arrays: _Left, key: str, type: IntType | None, shape: tuple[int, ...] | None) -> NDArray[Any]:
    if key not in arrays:
        raise ProgramError(f"the file holds no array '{key}'")
    array = arrays.pop(key)
    if array.dtype.kind not in "iu":
        raise ProgramError(f"array '{key}': expected integers, got {array.dtype}")
    if type is not None and type.bits not in (8, 16, 32):
        assert shape is not None
        if array.dtype != np.uint8 or array.ndim != 1:
            raise ProgramError(f"array '{key}': expected a packed stream of bytes, got {array.dtype} {array.shape}")
        return arrays.unpack(array, type, shape)
    if shape is not None and array.shape != shape:
        raise ProgramError(f"array '{key}': the header says shape {shape}, the file holds {array.shape}")
    return array


def _typed(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise ProgramError(f"{what}: expected {kind.__name__}, got {value!r}")
    return value


def _list(value: Any) -> list[Any]:
    return list(_typed(value, list, "header"))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(_typed(name, str, "tensor name") for name in _list(value))


def _integers(value: Any) -> tuple[int, ...]:
    for item in _list(value):
        if type(item) is not int or not -(1 << 63) <= item < 1 << 63:
            raise ProgramError(f"expected integers of 64 bits, got {item!r}")
    return tuple(value)
