"""A Program as plain data (for the file's JSON header) and integer arrays by key.

Any operator whose fields are int, bool, str, tuples of int, `IntType`, `Requantize` or integer arrays is written by its
fields; nothing here knows an operator by name. `decode` reads it back.

Array keys: `constant:<tensor>`, `state:<input>`, `node:<name>/<field>`, `node:<name>/<field>.multiplier` and `.shift`.
Equal arrays are written once: `same` leads from the key of each other one to the key of the first.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.files import Digest
from intaglio.number import IntType, Requantize
from intaglio.number.packing import pack
from intaglio.program.operator import Operator
from intaglio.program.structure import ProgramStructure, TensorInfo

Arrays = dict[str, NDArray[Any]]
Data = dict[str, Any]

_LEAST_SHARED = 256  # bytes: a smaller array costs less than to say where it is


def program_to_data(program: ProgramStructure) -> tuple[Data, Arrays]:
    """The header's part and the arrays' part."""
    arrays: Arrays = {}
    for name, array in program.constants.items():
        _store(arrays, f"constant:{name}", array, program.tensors[name].type)
    for state in program.states:
        _store(arrays, f"state:{state.input}", state.initial, program.tensors[state.input].type)
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
        **({"states": {state.input: state.output for state in program.states}} if program.states else {}),
        **({"float_ends": list(program.float_ends)} if program.float_ends else {}),
        "tensors": [_tensor_to_data(info) for info in program.tensors.values()],
        "nodes": nodes,
    }, arrays


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


def _tensor_to_data(info: TensorInfo) -> Data:
    data: Data = {"name": info.name, "shape": list(info.shape), "type": info.type.name}
    if info.params is not None:
        data["params"] = info.params.to_json()
    if info.graph_name is not None:
        data["graph_name"] = info.graph_name
    if info.axes is not None:
        data["axes"] = list(info.axes)
    return data


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


def _store(arrays: Arrays, key: str, array: NDArray[Any], type: IntType | None) -> None:
    packed = type is not None and type.bits not in (8, 16, 32)
    arrays[key] = pack(array, type) if packed and type is not None else np.asarray(array, order="C")
