"""`docs/extend.md` says what to touch to add something; each list is held to the files that name a member of today."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "intaglio"
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
_PATH = re.compile(r"`((?:[\w<>.-]+/)+(?:[\w<>.-]+\.\w+)?)`")


@dataclass(frozen=True)
class Example:
    """A member that is there already.

    Args:
        section: heading of its list.
        words: what code calls it.
        name: what stands for <name> and <kind> in paths.
        most: how many places there may be; None: as many as the list has.
    """

    section: str
    words: tuple[str, ...]
    name: str
    most: int | None = None


EXAMPLES = [
    Example("A function of one value", ("Softsign",), "", most=3),
    Example("A float operator", ("ArgMax",), "argmax"),
    Example("A float operator made of others", ("ReverseSequence", "reverse_sequence"), "gathers"),
    Example("An integer operator", ("MaskedSoftmax", "masked_softmax"), "masked_softmax", most=7),
    Example("An instruction set", ("avxvnni", "IG_AVXVNNI_H"), "avxvnni"),
    Example("A pass", ("fold_pads",), "fold_pads"),
    Example("A calibrator", ("MovingAverage", "moving-average"), "moving_average"),
    Example("A recovery algorithm", ("gptq",), "gptq", most=2),
    Example("Another recovery algorithm", ("clamp_weights",), "weight_clamp", most=2),
    Example("A training method", ("Twn", "twn"), "twn"),
    Example("A gradient estimator", ("Dsq", "dsq"), "dsq"),
    Example("A target", ("w2a8",), "w2a8"),
    Example("A machine", ("cortex-m7",), ""),
    Example("A meaning of outputs, shown by applications in C", ("BoxOutput", "box_output", "show_boxes"), "box"),
    Example("A metric", ("peak_signal_to_noise", "psnr"), "image_errors"),
]
HELD_ELSEWHERE = {"A kernel", "A checkpoint"}
"""By `tests/kernels`, which run every row of `KERNELS`, and by `tests/files/test_checkpoint_kinds.py`."""


@cache
def words_of_code() -> dict[str, frozenset[str]]:
    """Names and texts of the package's files and of the operators' test cases, without docstrings and comments."""
    files = [p for p in SOURCE.rglob("*") if p.suffix in (".py", ".h", ".c", ".toml")]
    found = {p.relative_to(SOURCE).as_posix(): _words(p) for p in files}
    cases = "tests/support/intaglio_tests/operator_cases.py"
    return found | {cases: _words(ROOT / cases)}


def _words(path: Path) -> frozenset[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return frozenset(re.findall(r"[\w-]+", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)))
    tree, words = ast.parse(text), set()
    documentation = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for n in ast.walk(tree):
        match n:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.FunctionDef(name=word) | ast.ClassDef(name=word):
                words.add(word)
            case ast.alias(name=word) | ast.keyword(arg=str(word)):
                words.add(word)
            case ast.Constant(value=str(text)) if id(n) not in documentation:
                words.update(re.findall(r"[\w-]+", text))
    return frozenset(words)


def paths(text: str, name: str) -> list[str]:
    """Paths in a part of a list, with a name in place of <name> and <kind>."""
    return [re.sub(r"<\w+>", name, path) for path in _PATH.findall(text)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.section)
def test_the_list_names_the_places_that_there_are(example: Example) -> None:
    section = SECTIONS[example.section]
    items = re.findall(r"^\d\. (.*?)(?=^\d\. |^\n|\Z)", section, re.DOTALL | re.MULTILINE)
    needed = [paths(item, example.name)[0] for item in items]
    besides = paths(section, example.name)
    found = {path for path, words in words_of_code().items() if words.intersection(example.words)}
    unnamed = [p for p in sorted(found) if not any(p == b or (b.endswith("/") and p.startswith(b)) for b in besides)]
    assert unnamed == [], f"name them in {example.section!r} of docs/extend.md, or let them follow from a registry"
    assert len(needed) <= (example.most or len(items))
    for path in needed:
        place = ROOT / path if path.startswith(("tests/", "docs/")) else SOURCE / path
        assert place.is_file(), f"{example.section}: {path}"
        if path in words_of_code():
            assert path in found, f"{example.section}: {path} does not name {', '.join(example.words)}"
        elif place.suffix == ".md":
            text = place.read_text(encoding="utf-8")
            assert any(word in text for word in example.words), f"{example.section}: {path}"


def test_every_list_is_held() -> None:
    assert {example.section for example in EXAMPLES} | HELD_ELSEWHERE == set(SECTIONS)


def test_every_path_exists() -> None:
    for path in _PATH.findall("".join(SECTIONS.values())):
        if "<" not in path:
            assert (ROOT / path if path.startswith(("tests/", "docs/")) else SOURCE / path).exists(), path
