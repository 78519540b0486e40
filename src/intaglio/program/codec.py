"""A Program as plain data (for the file's JSON header) and integer arrays by key, and back.

Any operator whose fields are int, bool, str, tuples of int, `IntType`, `Requantize` or integer arrays is written and
read by its annotations; nothing here knows an operator by name.

Array keys: `constant:<tensor>`, `node:<name>/<field>`, `node:<name>/<field>.multiplier` and `.shift`. Equal arrays are
written once: `same` leads from the key of each other one to the key of the first.
"""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import IntaglioError, ProgramError
from intaglio.files import Digest
from intaglio.number import IntType, QuantParams, Requantize, Rule
from intaglio.number.packing import pack, unpack
from intaglio.program.operator import OPERATORS, Operator
from intaglio.program.program import Node, Program, TensorInfo

Arrays = dict[str, NDArray[Any]]
Data = dict[str, Any]

_LEAST_SHARED = 256  # bytes: a smaller array costs less than to say where it is


def program_to_data(program: Program) -> tuple[Data, Arrays]:
    """The header's part and the arrays' part."""
    arrays: Arrays = {}
    for name, array in program.constants.items():
        _store(arrays, f"constant:{name}", array, program.tensors[name].type)
    nodes = []
    for node in program.nodes:
        fields = _fields_to_data(node.operator, f"node:{node.name}", arrays)
        nodes.append(
            {
                "name": node.name,
                "operator": node.operator.kind,
                "inputs": list(node.inputs),
                "output": node.output,
                "fields": fields,
            }
        )
    same = _take_out_repeated(arrays)
    return {
        **({"same": same} if same else {}),
        "target": program.target,
        "rule": program.rule.value,
        "batched": program.batched,
        "inputs": list(program.inputs),
        "outputs": list(program.outputs),
        "constants": list(program.constants),
        "metadata": dict(program.metadata),
        "tensors": [_tensor_to_data(info) for info in program.tensors.values()],
        "nodes": nodes,
    }, arrays


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


def _take_out_repeated(arrays: Arrays) -> dict[str, str]:
    """Leave the first of equal arrays, as layers have them that share a weight; key of each other one to its key."""
    first: dict[str, str] = {}
    same = {}
    for key, array in list(arrays.items()):
        if array.nbytes < _LEAST_SHARED:
            continue
        found = first.setdefault(Digest().array(array).name(), key)
        if found != key:
            same[key] = found
            del arrays[key]
    return same


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


def _tensor_to_data(info: TensorInfo) -> Data:
    data: Data = {"name": info.name, "shape": list(info.shape), "type": info.type.name}
    if info.params is not None:
        data["params"] = info.params.to_json()
    if info.graph_name is not None:
        data["graph_name"] = info.graph_name
    if info.axes is not None:
        data["axes"] = list(info.axes)
    return data


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


def _fields_to_data(operator: Operator, key: str, arrays: Arrays) -> Data:
    data: Data = {}
    weight_type = getattr(operator, "weight_type", None)
    for field in dataclasses.fields(operator):
        value, name = getattr(operator, field.name), field.name
        if value is None and field.default is None:
            continue  # files from before there was such a field read the same
        if isinstance(value, np.ndarray):
            _store(arrays, f"{key}/{name}", value, weight_type if name == "weight" else None)
            data[name] = {"shape": list(value.shape)}
        elif isinstance(value, Requantize):
            arrays[f"{key}/{name}.multiplier"] = np.asarray(value.multiplier, order="C")
            arrays[f"{key}/{name}.shift"] = np.asarray(value.shift, order="C")
            data[name] = {"rule": value.rule.value, "wide": value.wide}
        elif isinstance(value, IntType):
            data[name] = value.name
        elif isinstance(value, tuple):
            data[name] = [int(v) for v in value]
        elif value is None or isinstance(value, bool | str):
            data[name] = value
        else:
            data[name] = int(value)
    return data


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


def _store(arrays: Arrays, key: str, array: NDArray[Any], type: IntType | None) -> None:
    packed = type is not None and type.bits not in (8, 16, 32)
    arrays[key] = pack(array, type) if packed and type is not None else np.asarray(array, order="C")


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
