"""The glossary of the macros in `docs/kernels.md` has the names that the headers have, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import intaglio.kernels

KERNELS = Path(intaglio.kernels.__file__).parent
PAGE = Path(__file__).resolve().parents[2] / "docs" / "kernels.md"
VECTORS = ("avx512", "avx2", "neon")
_DEFINED = re.compile(
    r"^#define (\w+)|^IG_INLINE [\w ]+?[ *](ig_\w+)\(|^struct (ig_\w+) \{|^typedef [\w ]+ (ig_\w+);", re.MULTILINE
)


def glossary(part: int) -> set[str]:
    """Names in the first column of one of the two tables."""
    section = PAGE.read_text(encoding="utf-8").partition("## Glossary of the macros\n")[2]
    table = re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE)[part]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def defined(header: Path) -> set[str]:
    found = {next(filter(None, names)) for names in _DEFINED.findall(header.read_text(encoding="utf-8"))}
    return {name for name in found if not name.endswith(("_", "_H")) and not re.search(r"(REPEAT|AGAIN)_\d", name)}


def test_parameters_of_headers() -> None:
    comments = [c for path in KERNELS.rglob("*.h") for c in re.findall(r"/\*.*?\*/", path.read_text(), re.DOTALL)]
    listed = [c.partition("Macros:")[2] for c in comments if "Macros:" in c]
    assert len(listed) > 40
    assert glossary(0) == {name for text in listed for name in re.findall(r"\bIG_\w+", text)}


def test_vocabulary_of_vectors() -> None:
    by_header = [defined(KERNELS / "isa" / f"{name}.h") for name in VECTORS]
    others = "\n".join(
        p.read_text() for p in KERNELS.rglob("*") if p.suffix in (".h", ".py") and p.parent.name != "isa"
    )
    used = {name for name in set.union(*by_header) if re.search(rf"\b{name}\b", others)}
    shared = {name for i, a in enumerate(by_header) for b in by_header[i + 1 :] for name in a & b}
    forms = {name.removeprefix("IG_FACTORS_") for name in by_header[0] if name.startswith("IG_FACTORS_")}
    plain = {re.sub(rf"(FACTORS|factor|requantize)_({'|'.join(forms)})$", r"\1_FORM", name) for name in used | shared}
    assert glossary(1) == plain | (defined(KERNELS / "isa" / "repeat.h") - {"IG_CAT"})
    rows = PAGE.read_text(encoding="utf-8").split("| `IG_FORM_` |")[1].splitlines()[0]
    assert set(re.findall(r"`(\w+)`", rows)) == forms
