"""A user's own metric: a function, or an object with `update` and `compute`."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from intaglio.errors import IntaglioError, UsageError
from intaglio.evaluation.metric import Collected, Metric, Outputs, Targets, Updated, targets_of
from intaglio.files import text_fingerprint

_SIMPLE = (bool, int, float, str, type(None))


def user_metric(given: Any, *, higher_is_better: bool | None = None, name: str | None = None) -> Metric:
    """Make a metric of a user's function or object.

        value = f(outputs, targets)

    `outputs` are those of the whole data set, a NumPy array (N, ...), or a tuple of arrays in the network's order where
    it has several outputs. `targets` are the labels as the data hold them: an array (N, ...), or a list with an entry
    for each sample. All outputs are kept in memory; an object with `update(outputs, targets)`, called with each batch,
    and `compute()` avoids this. Every network is measured with its own copy of the object. Objects that are
    `torch.nn.Module`s, as those of torchmetrics are, get tensors instead of arrays. An attribute `unit`, such as "%",
    is shown behind the value.

    Args:
        given: function of (outputs, targets) that returns one number; or an object, or a class that is called without
            arguments, with `update` and `compute`.
        higher_is_better: None: its attribute `higher_is_better`, or True where it has none.
        name: None: its attribute `__name__`, or that of its class.
    Raises:
        UsageError: it cannot be called with outputs and targets.
    """
    if isinstance(given, type) and _accumulates(given):
        given = called(given.__name__, given)
    name = name or _name(given)
    if higher_is_better is None:
        stated = getattr(given, "higher_is_better", None)
        higher_is_better = True if stated is None else bool(stated)
    unit = str(getattr(given, "unit", ""))
    if _accumulates(given):
        way: Any = Updated(given, functools.partial(_update, name), functools.partial(_compute, name))
        _check_signature(given.update, name, "update")
        return Metric(name, way, higher_is_better, unit, identity=identity(given))
    if not callable(given):
        raise UsageError(
            f"metric: expected a name, a function of (outputs, targets), or an object with update and compute, got "
            f"{type(given).__name__} {given!r:.80}"
        )
    _check_signature(given, name, "")
    whole = functools.partial(_whole, name, given)
    return Metric(name, Collected(whole), higher_is_better, unit, identity=identity(given))


def identity(given: Any) -> str:
    """Describe a function or object by its qualified name and a hash of its source and simple settings.

    Functions that it calls are not followed.
    """
    if isinstance(given, functools.partial):
        return f"{identity(given.func)} {text_fingerprint(repr((given.args, sorted(given.keywords.items()))))}"
    function = inspect.unwrap(given) if callable(given) else given
    described = function if hasattr(function, "__qualname__") else type(function)
    parts = [_source(described)]
    if hasattr(function, "__closure__"):
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        parts += [repr(value) for value in (*cells, *(function.__defaults__ or ())) if isinstance(value, _SIMPLE)]
    if described is not function:
        settings = {key: value for key, value in getattr(function, "__dict__", {}).items() if _is_plain(value)}
        parts.append(repr(sorted(settings.items())))
    return f"{described.__module__}:{described.__qualname__} {text_fingerprint(chr(0).join(parts))}"


def _source(described: Any) -> str:
    try:
        return inspect.getsource(described)
    except (OSError, TypeError):  # typed at a prompt, or written in C
        code = getattr(described, "__code__", None)
        return "" if code is None else repr((code.co_code, code.co_names, [c for c in code.co_consts if _is_plain(c)]))


def _is_plain(value: Any) -> bool:
    return isinstance(value, _SIMPLE) or (
        isinstance(value, tuple | list) and all(isinstance(v, _SIMPLE) for v in value)
    )


def _accumulates(given: Any) -> bool:
    return callable(getattr(given, "update", None)) and callable(getattr(given, "compute", None))


def _name(given: Any) -> str:
    while isinstance(given, functools.partial):
        given = given.func
    name = str(getattr(given, "__name__", type(given).__name__))
    return "metric" if name == "<lambda>" else name


def _check_signature(function: Callable[..., Any], name: str, method: str) -> None:
    """Refuse a function that cannot be called with outputs and targets, before the network runs."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, without a signature
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        which = f"{name}.{method}" if method else name
        raise UsageError(
            f"metric {name}: expected {method or 'a function'} to take (outputs, targets), got {which}{signature} "
            f"({error})"
        ) from None


def _whole(name: str, function: Callable[..., Any], *items: Any) -> float:
    """Call a user's function on all samples."""
    *outputs, targets = items
    return number(name, called(name, function, outputs=_one_or_all(tuple(outputs)), targets=targets))


def _update(name: str, state: Any, outputs: Outputs, targets: Targets) -> None:
    y = _one_or_all(outputs)
    if _is_torch(state):
        y, targets = _tensors(y), _tensors(targets)
    called(f"{name}.update", state.update, outputs=y, targets=targets)


def _compute(name: str, state: Any) -> float:
    if hasattr(
        state, "sync_on_compute"
    ):  # torchmetrics adds up the processes of torchrun, each of which has all samples
        state.sync_on_compute = False
    return number(name, called(f"{name}.compute", state.compute))


def called(name: str, function: Callable[..., Any], *, kind: str = "metric", **arguments: Any) -> Any:
    """Call a user's function with arguments by position; their names and `kind` are for the error message.

    Raises:
        UsageError: it raised an error.
    """
    try:
        return function(*arguments.values())
    except IntaglioError:
        raise
    except Exception as error:
        shown = " and ".join(f"{key} {_form(value)}" for key, value in arguments.items())
        shown = f" with {shown}" if shown else ""
        text = " ".join(str(error).split())[:300]
        raise UsageError(f"{kind} {name}: the call{shown} raised {type(error).__name__}: {text}") from error


def number(name: str, value: Any) -> float:
    """Convert what a user's metric returned.

    Raises:
        UsageError: it is not a single number.
    """
    if isinstance(value, str | bytes | Mapping) or value is None:
        found = f"a {type(value).__name__}" if value is not None else "None"
        found += f" with the keys {', '.join(map(str, list(value)[:8]))}" if isinstance(value, Mapping) else ""
        raise UsageError(f"metric {name}: expected one number, got {found}; return one float")
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"metric {name}: expected one number, got {type(value).__name__} {value!r:.80}") from None
    if array.size != 1:
        raise UsageError(
            f"metric {name}: expected one number, got an array of shape {array.shape}; return its mean, for example"
        )
    return float(array.reshape(()))


def _one_or_all(outputs: Outputs) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


def _form(value: Any) -> str:
    """Describe an argument for an error message."""
    if hasattr(value, "shape"):
        return f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_form, value))})"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def _is_torch(given: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.nn.Module)


def _tensors(value: Any) -> Any:
    """Convert arrays within tuples, lists and dicts to tensors."""
    import torch

    if isinstance(value, np.ndarray):
        plain = targets_of(value)
        return torch.from_numpy(np.ascontiguousarray(plain)) if plain is value else plain
    if isinstance(value, Mapping):
        return {key: _tensors(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_tensors(entry) for entry in value)
    return value
