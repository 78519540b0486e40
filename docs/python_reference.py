"""The Python reference: public names with signature and docstring, for `python.md` and the test of `stability.md`.

Signatures come from the source text, so that the page is the same on every Python.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

PUBLIC: dict[str, tuple[str, ...] | None] = {
    "intaglio": None,
    "intaglio.ptq": ("LossLimit", "Recipe"),
    "intaglio.plan": ("Step", "ValuePlan"),
    "intaglio.evaluation": ("Score",),
    "intaglio.evaluation.metrics": None,
    "intaglio.data": ("match", "open_data"),
    "intaglio.targets": ("BUILTIN", "load_target"),
    "intaglio.train.loop": ("RunOptions", "TrainResult", "TrainSettings", "train"),
    "intaglio.train.gradual": ("Gradual", "Schedule"),
    "intaglio.train.nn": None,
    "intaglio.errors": None,
}
"""Public modules with their public names; None: all of `__all__`, or all classes where there is no such list."""

RESULTS = ("intaglio", "intaglio.plan", "intaglio.evaluation")
"""Modules whose classes are results of calls: their methods are shown, not their constructors."""

REGISTRIES = {
    "ESTIMATORS": "intaglio.train.estimators.estimator_registry",
    "METRICS": "intaglio.evaluation",
    "METHODS": "intaglio.train.quantizers.quantizer_registry",
    "OPTIMIZERS": "intaglio.train.loop.settings",
    "PRECISIONS": "intaglio.train.loop.settings",
    "ROUNDINGS": "intaglio.ptq.recipe",
}
"""Where the names lie of which a docstring says `a name of METHODS`."""

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):[ ]?(.*)$")
_NAMES = re.compile(r"a name of `(?:[\w.]+\.)?([A-Z]+)`")
_ROW = re.compile(r"^    (?! )(\S[^:]*):[ ]?(.*)$")


def names(module: str) -> list[str]:
    """The public names of a module, sorted."""
    loaded = importlib.import_module(module)
    listed = PUBLIC[module] or getattr(loaded, "__all__", None)
    if listed is None:
        listed = [name for name, value in vars(loaded).items() if inspect.isclass(value) and value.__module__ == module]
    return sorted(listed, key=str.lower)


def reference(escape: Callable[[str], str]) -> str:
    """The page: for each module its names.

    Args:
        escape: makes Markdown of a docstring's prose.
    """
    parts = []
    for module in PUBLIC:
        parts.append(f"## `{module}`")
        loaded = importlib.import_module(module)
        for name in names(module):
            value = inspect.unwrap(getattr(loaded, name))  # a package that can be called
            parts += entry(name, value, escape, made_by_calls=module in RESULTS)
    return "\n\n".join(parts)


def entry(name: str, value: Any, escape: Callable[[str], str], *, made_by_calls: bool) -> Iterator[str]:
    """One public name.

    Args:
        name, value: what it is.
        escape: see `reference`.
        made_by_calls: classes have no constructor that people call; their methods are shown.
    """
    yield f"### `{name}`"
    if inspect.isclass(value):
        if not made_by_calls and not issubclass(value, Exception):
            yield _fenced(f"{name}{_constructor(value)}")
        yield from documentation(_class_text(value), escape)
        if made_by_calls:
            yield from _methods(value, escape)
    elif callable(value):
        yield _fenced(f"{name}{signature(_node(value))}")
        yield from documentation(value.__doc__, escape)
    else:
        yield f"A constant: `{value!r}`."


def _class_text(cls: type) -> str:
    """The docstring of a class, with the arguments of the private base class that it refers to."""
    text = inspect.cleandoc(cls.__doc__ or "")
    found = re.search(r"(?:, |; )see `(_\w+)`[^.]*", text)
    if found is None:
        return text
    base = next(base for base in cls.__mro__ if base.__name__ == found[1])
    sections = _class_text(base).partition("\n\n")[2]
    return f"{text.replace(found[0], '')}\n\n{sections}"


def _methods(cls: type, escape: Callable[[str], str]) -> Iterator[str]:
    for name, value in vars(cls).items():
        if (name.startswith("_") and name != "__getitem__") or isinstance(value, type):
            continue
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not inspect.isfunction(function):
            continue
        first, *rest = documentation(function.__doc__, escape)
        if isinstance(value, property):
            yield f"**`.{name}`** {first}"
        else:
            yield f"**`.{name}{signature(_node(function), method=True, lines=False)}`** {first}"
        yield from rest


def signature(function: ast.FunctionDef, *, method: bool = False, lines: bool = True) -> str:
    """Arguments and result as the source has them, one argument a line where there are many."""
    rows = _arguments(function.args)
    if method or (rows and rows[0] == "self"):
        rows = rows[1:]
    return _laid_out(rows, f" -> {_text(function.returns)}" if function.returns else "", lines=lines)


def _arguments(arguments: ast.arguments) -> list[str]:
    first = [*arguments.posonlyargs, *arguments.args]
    absent = [None] * (len(first) - len(arguments.defaults))
    rows = [_argument(a, default) for a, default in zip(first, [*absent, *arguments.defaults], strict=True)]
    if arguments.vararg is not None:
        rows.append(f"*{_argument(arguments.vararg)}")
    elif arguments.kwonlyargs:
        rows.append("*")
    rows += [_argument(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return rows + ([f"**{_argument(arguments.kwarg)}"] if arguments.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None = None) -> str:
    text = argument.arg + (f": {_text(argument.annotation)}" if argument.annotation else "")
    between = " = " if argument.annotation else "="
    return text + (f"{between}{_text(default)}" if default else "")


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _field(node: ast.AnnAssign) -> str:
    """A field of a dataclass; of one that a function of the package declares, the default is its first argument."""
    if isinstance(node.value, ast.Call) and _text(node.value.func) not in ("field", "dataclasses.field"):
        node.value = node.value.args[0]
    return _text(node)


def _laid_out(rows: list[str], result: str = "", *, lines: bool = True) -> str:
    text = ", ".join(rows)
    if not lines or len(text) + len(result) < 80:
        return f"({text}){result}"
    return "(\n" + "".join(f"    {row},\n" for row in rows) + f"){result}"


def _constructor(cls: type) -> str:
    for base in cls.__mro__:
        if not base.__module__.startswith("intaglio"):
            continue
        node = _node(base)
        own = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if own is not None:
            own.returns = None
            return signature(own)
        if "__dataclass_fields__" in vars(base):
            return _laid_out([_field(n) for n in node.body if isinstance(n, ast.AnnAssign)])
    return "()"


def _node(value: Any) -> Any:
    tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    return _Constants(vars(sys.modules[value.__module__])).visit(tree).body[0]


class _Constants(ast.NodeTransformer):
    """Defaults that are constants of their module, as numbers and texts."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.names.get(node.id)
        known = node.id.isupper() and isinstance(value, (bool, int, float, str))
        return ast.Constant(value) if known else node


def _fenced(text: str) -> str:
    return f"```py\n{text}\n```"


def documentation(text: str | None, escape: Callable[[str], str]) -> Iterator[str]:
    """A docstring as Markdown: prose, then its sections."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in _NAMES.sub(_listed, inspect.cleandoc(text or "")).splitlines():
        found = _SECTION.match(line)
        if found:
            current = found[1]
            sections[current] = [f"    {found[2]}"] if found[2] else []
        else:
            sections[current].append(line)
    prose = "\n".join(line if line.startswith("    ") else escape(line) for line in sections.pop("")).strip()
    yield prose
    for name, lines in sections.items():
        rows = list(_rows(lines)) if name in ("Args", "Attributes", "Raises") else []
        if rows:
            yield "\n".join(
                [
                    f"| {name} | |",
                    "| --- | --- |",
                    *(f"| {k} | {escape(v).replace('|', chr(92) + '|')} |" for k, v in rows),
                ]
            )
        else:
            yield f"{name}: {escape(' '.join(line.strip() for line in lines))}"


def _listed(found: re.Match[str]) -> str:
    names = getattr(importlib.import_module(REGISTRIES[found[1]]), found[1])
    return f"one of {', '.join(f'`{name}`' for name in names)}"


def _rows(lines: list[str]) -> Iterator[tuple[str, str]]:
    """`name: text` with its continued lines; what stands before the first such line comes without a name."""
    rows: list[tuple[str, str]] = []
    for line in lines:
        found = _ROW.match(line)
        if found:
            rows.append((", ".join(f"`{part.strip()}`" for part in found[1].split(",")), found[2]))
        elif rows and line.strip():
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
    yield from rows
