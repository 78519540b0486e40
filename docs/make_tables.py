"""Writes the tables of this folder that registries know: operators, targets, passes, commands, public names.

python docs/make_tables.py          rewrites what stands between `<!-- table NAME -->` and `<!-- end -->`, and numbers
                                    that repeat a constant of the code (see `bound_numbers`)
python docs/make_tables.py --check  changes nothing and exits with 1 where something is out of date
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from bound_numbers import bound
from python_reference import reference

from intaglio.cli.main import COMMANDS
from intaglio.frontends.rewrites import REWRITES
from intaglio.graph.passes import PASSES
from intaglio.ops import FLOAT_OPERATORS
from intaglio.ops.float_operator import INDEX_OPERATORS
from intaglio.program import OPERATORS
from intaglio.ptq.recipe import Recipe, recovery_rows
from intaglio.targets import BUILTIN, TensorFormat, load_target

DOCS = Path(__file__).parent
SOURCE = "../src/intaglio"
MARKED = re.compile(r"(<!-- table (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
INTEGER, FLOAT = "intaglio.program.operators.", "intaglio.ops."


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def float_operators() -> str:
    """ONNX operators, and which integer operators their lowering may emit."""
    classes: dict[type, list[str]] = {}
    for name, cls in (*FLOAT_OPERATORS.items(), *INDEX_OPERATORS.items()):
        classes.setdefault(cls, []).append(f"{name} of integers" if cls.of_indices else name)
    rows = []
    for cls, names in classes.items():
        module = cls.__module__.rpartition(".")[2]
        kinds = sorted(emitted(sys.modules[cls.__module__], cls.__name__))
        rows.append(
            (
                ", ".join(sorted(names)),
                ", ".join(f"`{kind}`" for kind in kinds) or "nothing: only names and the order of axes change",
                f"[`ops/{module}.py`]({SOURCE}/ops/{module}.py)",
            )
        )
    return table(("ONNX operator", "integer operators, as the case asks", "file"), sorted(rows))


def emitted(module: ModuleType, name: str, seen: set[tuple[str, str]] | None = None) -> set[str]:
    """Kinds of integer operators that a class's or function's code names, directly or through what it calls."""
    seen = set() if seen is None else seen
    if (module.__name__, name) in seen:
        return set()
    seen.add((module.__name__, name))
    tree = _tree(module)
    imports = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    definition = next((n for n in tree.body if getattr(n, "name", None) == name), None)
    found: set[str] = set()
    for used in {n.id for n in ast.walk(definition) if isinstance(n, ast.Name)} if definition else ():
        source, original = imports.get(used, (module.__name__, used))
        if source.startswith(INTEGER):
            found.add(getattr(importlib.import_module(source), original).kind)
        elif source.startswith(FLOAT) and source != "intaglio.ops.float_operator":
            found |= emitted(importlib.import_module(source), original, seen)
    return found


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def integer_operators() -> str:
    """The integer operators: what stands at the top of their files."""
    parts = []
    for kind, cls in sorted(OPERATORS.items()):
        module = cls.__module__.rpartition(".")[2]
        first, _, rest = inspect.cleandoc(sys.modules[cls.__module__].__doc__ or "").partition("\n")
        sentence, *equations = re.split(r"\s{2,}", first)
        shown = ", ".join(f"`{e.rstrip(',')}`" if "`" not in e else _escaped(e) for e in equations)
        lines = (line if line.startswith("    ") else _escaped(line) for line in rest.strip("\n").split("\n"))
        head = f"### `{kind}`\n\n{_escaped(sentence)} {shown} [{module}.py]({SOURCE}/program/operators/{module}.py)"
        parts.append("\n\n".join(filter(None, [head, "\n".join(lines)])))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Prose of a docstring as Markdown: signs outside of backticks stand for themselves."""
    pieces = text.split("`")
    return "`".join(p if i % 2 else re.sub(r"([*_<\[\]])", r"\\\1", p) for i, p in enumerate(pieces))


def targets() -> str:
    """The built-in targets."""
    rows = []
    for name in BUILTIN:
        t = load_target(name)
        special = [
            f"{op}: {', '.join(f'{k} {v}' for k, v in row.model_dump(exclude_unset=True).items())}"
            for op, row in t.operators.items()
            if row.activations is None and row.weights is None
        ]
        special += [f"{op}: weights {_format(r.weights[0])}" for op, r in t.operators.items() if r.weights]
        special += [f"{op}: {_format(r.activations[0])}" for op, r in t.operators.items() if r.activations]
        special += [f"{which} layer {text}" for which, text in t.layers.items()]
        if t.products is not None:
            special.append(f"data of products {_format(t.products)}")
        if t.final is not None:
            special.append(f"final scores {_format(t.final)}")
        rows.append(
            (
                f"`{name}`",
                _formats(t.activations),
                _formats(t.weights),
                f"`{t.rule.value}`",
                str(t.accumulator),
                "; ".join(sorted(special)) or "–",
            )
        )
    return table(("target", "activations", "weights", "rounding rule", "accumulator bits", "also"), rows)


def _formats(formats: Sequence[TensorFormat]) -> str:
    first, *others = map(_format, formats)
    return first + "".join(f"; on request {other}" for other in others)


def _format(fmt: TensorFormat) -> str:
    return f"{fmt.type} {fmt.scheme.value.replace('_', ' ')} per {fmt.per}"


def recovery() -> str:
    """The recovery algorithms that a recipe switches, in the order in which they run."""
    rows = []
    for name, row in recovery_rows().items():
        option = name.replace("_", "-")
        default = (f"on; `--no-{option}`") if getattr(Recipe, name) else f"off; `--{option}`"
        rows.append((f"`{name}`", default, "yes" if row.without_data else "no", row.help))
    return table(("field of `Recipe`", "default; option", "also without data", "what it does"), rows)


def passes() -> str:
    """The passes in the order in which they run."""
    rows = []
    for function in (entry.run for entry in PASSES):
        file = f"graph/passes/{function.__module__.rpartition('.')[2]}.py"
        text = (sys.modules[function.__module__].__doc__ or "").strip().splitlines()[0]
        rows.append((f"[`{function.__name__}`]({SOURCE}/{file})", text.rstrip(".")))
    return table(("pass", "what it does"), rows)


def rewritten_operators() -> str:
    """ONNX operators that loading writes with others."""
    rows = []
    for name, function in REWRITES.items():
        file = f"{function.__module__.removeprefix('intaglio.').replace('.', '/')}.py"
        text = inspect.cleandoc(function.__doc__ or "").splitlines()[0]
        rows.append((name, text.rstrip("."), f"[`{file}`]({SOURCE}/{file})"))
    return table(("ONNX operator", "what it becomes", "file"), rows)


def commands() -> str:
    """Every command with its arguments."""
    return "\n\n".join(
        f"## {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n"
        + table(("argument", "meaning"), list(_arguments(parser_of(name))))
        for name, summary in COMMANDS.items()
    )


def parser_of(command: str) -> argparse.ArgumentParser:
    """The arguments of one command."""
    parser = argparse.ArgumentParser(prog=f"intaglio {command}", add_help=False)
    importlib.import_module(f"intaglio.cli.{command}_command").add_arguments(parser)
    return parser


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
        if action.option_strings and action.nargs != 0:
            shown = "\\|".join(map(str, action.choices)) if action.choices else action.metavar or action.dest.upper()
            names += f" `{shown}`".replace("\\|", "|")
        text = (action.help or "") % {"default": action.default}
        yield names, text + (" (required)" if action.required and action.option_strings else "")


TABLES: dict[str, Callable[[], str]] = {
    "float-operators": float_operators,
    "integer-operators": integer_operators,
    "targets": targets,
    "passes": passes,
    "rewritten-operators": rewritten_operators,
    "recovery": recovery,
    "commands": commands,
    "python": lambda: reference(_escaped),
}


def made(text: str) -> str:
    """A page with its tables and bound numbers as they should be."""
    return bound(MARKED.sub(lambda match: f"{match[1]}\n{TABLES[match['name']]()}\n\n{match[3]}", text))


def main(check: bool) -> int:
    """Rewrite every page, or tell which ones are out of date."""
    stale = []
    for path in sorted(DOCS.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = made(before)
        if after != before:
            stale.append(path.name)
            if not check:
                path.write_text(after, encoding="utf-8")
    print(f"{'out of date' if check else 'rewritten'}: {', '.join(stale) or 'nothing'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
