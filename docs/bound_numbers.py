"""Numbers in the pages that repeat a constant of the code.

A comment behind a number, which readers do not see, says where it comes from:

    at most 96<!-- =driver.TRIAL_SAMPLES --> of the samples

It stands directly behind the number (or a word up to twelve), or behind the code in backticks whose last number it is.
The expression may use modules of
`intaglio` by their file's name, `option("train", "--batch")` for the default of an option, and
`in_c("codegen/runtime/library.c", "IG_PATIENCE")` for a constant of the C sources.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "src" / "intaglio"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
BOUND = re.compile(
    rf"(?P<number>(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|\b(?:{'|'.join(WORDS)}))"
    r"(?P<between>(?:[^\d<\n`]*`)?)<!-- =(?P<expression>.+?) -->"
)


def bound(text: str) -> str:
    """A page with its bound numbers as the code has them; those that are right stay as they are written.

    Raises:
        LookupError: a comment without a number in front of it, or a constant that does not exist.
    """
    rest = BOUND.sub("", text)
    if "<!-- =" in rest:
        raise LookupError(f"expected a number directly before {rest[rest.index('<!-- =') :].splitlines()[0]}")
    return BOUND.sub(_bound, text)


def _bound(match: re.Match[str]) -> str:
    written, value = match["number"], evaluate(match["expression"])
    if math.isclose(_number(written), value, rel_tol=1e-9):
        return match[0]
    as_word = written in WORDS and value in range(len(WORDS))
    new = WORDS[int(value)] if as_word else f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return f"{new}{match['between']}<!-- ={match['expression']} -->"


def _number(written: str) -> float:
    return WORDS.index(written) if written in WORDS else float(written.replace(",", ""))


def evaluate(expression: str) -> float:
    """The number that an expression of a page stands for."""
    names = {n.id for n in ast.walk(ast.parse(expression, mode="eval")) if isinstance(n, ast.Name)}
    known: dict[str, Any] = {
        "option": option,
        "in_c": in_c,
        "round": round,
        "len": len,
        "log2": math.log2,
        "__builtins__": {},
    }
    return eval(expression, known | {name: module(name) for name in names - known.keys()})  # type: ignore[no-any-return]


@cache
def _files() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in SOURCE.rglob("*.py"):
        found.setdefault(path.stem, []).append(path)
    return found


def module(name: str) -> Any:
    """The module of the one file that has this name."""
    paths = _files().get(name, [])
    if len(paths) != 1:
        raise LookupError(f"{name}: expected one file {name}.py in src/intaglio, got {len(paths)}")
    return importlib.import_module(".".join(paths[0].with_suffix("").relative_to(SOURCE.parent).parts))


def option(command: str, name: str) -> Any:
    """The default of a command's option."""
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module(f"intaglio.cli.{command}_command").add_arguments(parser)
    return next(action.default for action in parser._actions if name in action.option_strings)


def in_c(file: str, name: str) -> int:
    """A constant of the C sources that is written as `NAME = 123`."""
    found = re.search(rf"\b{name} = (\d+)", (SOURCE / file).read_text(encoding="utf-8"))
    if found is None:
        raise LookupError(f"{file}: expected {name} = a number, got none")
    return int(found[1])
