"""Arrows between rooms point one way, and the integer side needs nothing but NumPy and safetensors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "intaglio"
MAY_IMPORT = {  # room: the rooms it may import; what those may import is allowed too
    "errors": "",
    "number": "errors",
    "progress": "errors",
    "files": "errors",
    "processes": "errors",
    "samples": "",
    "tables": "",
    "callable_package": "",
    "program": "number",
    "codegen": "program kernels",
    "kernels": "program",
    "graph": "errors",
    "frontends": "plan",
    "ops": "graph number program",
    "targets": "number",
    "plan": "ops targets",
    "lower": "plan program",
    "simulate": "plan",
    "measure": "evaluation",
    "calibrate": "evaluation",
    "recover": "calibrate lower",
    "ptq": "recover data quantized",
    "train": "frontends ptq",
    "search": "train",
    "export": "lower codegen frontends",
    "evaluation": "simulate program data codegen",
    "bench": "codegen frontends simulate report",
    "report": "calibrate",
    "app": "codegen data",
    "zoo": "data",
    "data": "errors progress",
    "quantized": "report export lower",
    "module_inputs": "train",
    "api": "search zoo data module_inputs",
    "workflow": "api bench",
    "cli": "workflow bench app",
    "demo": "cli __init__",
    "__main__": "cli",
    "__init__": "api codegen targets workflow bench",
}
FOLDERS = {  # within calibrate/: the folders that each may import; files beside the folders may import all of them
    "statistics": "",
    "calibrators": "statistics",
    "parameters": "statistics calibrators",
    "data_free": "statistics",
}
COMMON = {"errors", "number", "progress", "files", "processes", "samples", "tables", "callable_package"}
"""Open to every room that does not lie beneath them."""
INTEGER_SIDE = {"errors", "files", "number", "samples", "tables", "program", "codegen", "kernels"}
CORE = sys.stdlib_module_names | {"numpy", "safetensors", "tomli", "tomllib"}
"""What the integer side may import; before Python 3.11 the standard library has no tomllib."""
FILES = sorted(ROOT.rglob("*.py"))
OPERATOR_LISTS = {
    "calibrate/data_free/input_moments.py": (1, "forms that may stand between an input and its first batch norm"),
    "calibrate/data_free/moment_rules.py": (
        2,
        "operators that have the same effect on moments, beside those of the table",
    ),
    "export/qdq.py": (1, "what ONNX Runtime runs on quantized values behind the last layer"),
    "frontends/cut_tail.py": (3, "where a float tail may begin, and which layers may not lie in it"),
    "frontends/fold.py": (3, "how large, and of which inputs, a constant becomes; before the normal form"),
    "frontends/keras/config.py": (1, "classes of Keras layers, of which some are called like operators"),
    "frontends/open_batch.py": (1, "how a file can ask for the size of its batch; before the normal form"),
    "frontends/opset_upgrade.py": (4, "forms of older opsets"),
    "frontends/quantized/float_ranges.py": (1, "functions that are too steep for a bound to be of use"),
    "frontends/quantized/float_weights.py": (1, "names of the quantized operators"),
    "frontends/quantized/pairs.py": (1, "names of the quantized operators"),
    "frontends/quantized/quantized_operators.py": (3, "names of the quantized operators"),
    "frontends/tidy.py": (1, "operators that may read an infinite constant; before the normal form"),
    "graph/batch.py": (7, "rules of axes that the table cannot say"),
    "graph/compute.py": (1, "random operators, which are never computed beforehand"),
    "graph/infer.py": (3, "operators of which ONNX infers wrong shapes in some opsets"),
    "graph/operators.py": (0, "the table itself; its names stand in strings"),
    "graph/passes/merge_affine.py": (3, "orders of a Mul and an Add, each of which is merged in its own way"),
    "graph/passes/move_factors.py": (1, "data movement inside attention"),
    "graph/permute.py": (1, "rules of axes that the table cannot say"),
    "graph/verify_graph.py": (1, "operators that the normal form does not have"),
    "plan/target_rows.py": (1, "operators without a range of their own, beside those of the table"),
    "train/insert_batch_norm.py": (1, "what may stand between the last layer and an output"),
    "train/loop/lr_scaling.py": (2, "steps that keep the size of a gradient, and products with a learned side input"),
}
"""Files outside `ops/` with lists of ONNX operators that are no facts of `graph.operators`: how many, and why."""


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def reachable(room: str) -> set[str]:
    found = {room} | (COMMON if room not in COMMON else set())
    for other in MAY_IMPORT[room].split():
        found |= reachable(other)
    return found


@cache
def parts_of(source: str) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax tree; the files are parsed once for all tests."""
    return tuple(ast.walk(ast.parse(source)))


def nodes(path: Path) -> tuple[ast.AST, ...]:
    return parts_of(path.read_text(encoding="utf-8"))


@cache
def attributes(path: Path) -> frozenset[str]:
    return frozenset(ast.unparse(node) for node in nodes(path) if isinstance(node, ast.Attribute))


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, as an absolute dotted name; `from p import x` counts as p.x."""
    package = ("intaglio", *path.relative_to(ROOT).parent.parts)
    names: list[str] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = (*base, *(node.module or "").split(".")) if node.module else base
            names += (".".join([*prefix, alias.name]) for alias in node.names)
    return tuple(names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is no room of the house; add it to the table here and in the documentation"
    allowed = reachable(room)
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "intaglio" and rest != "__version__":
            # `import intaglio` and names that are no room come from the public surface
            other = rest.split(".")[0] if rest.split(".")[0] in MAY_IMPORT else "__init__"
            assert other in allowed, f"{room}/ may not import {other}/ ({name})"
        elif room in INTEGER_SIDE and top != "intaglio":
            assert top in CORE, f"{room}/ may not import {name}"


def circles(files: list[Path]) -> set[str]:
    """Modules of files that import one another in a circle, or lie between circles; imports in functions count."""
    modules = {}
    for path in files:
        parts = ("intaglio", *path.relative_to(ROOT).with_suffix("").parts)
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    left = {}
    for module, path in modules.items():
        names = {name if name in modules else name.rpartition(".")[0] for name in imported(path)}
        left[module] = names & set(modules) - {module}
    for arrows in (left, {m: {n for n, others in left.items() if m in others} for m in left}):
        while free := {module for module in left if not arrows[module] & set(left)}:
            left = {module: others for module, others in left.items() if module not in free}
    return set(left)


def test_no_files_import_one_another_in_a_circle() -> None:
    assert circles(FILES) == set()


def test_circles_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    sources = {
        "graph/__init__.py": "",
        "graph/a.py": "from intaglio.graph import b\nfrom intaglio.graph.e import f",
        "graph/b.py": "def g():\n    from intaglio.graph.c import x",
        "graph/c.py": "if TYPE_CHECKING:\n    from intaglio.graph.a import y",
        "graph/d.py": "import intaglio.graph.a",
        "graph/e.py": "import os",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert circles(sorted(tmp_path.rglob("*.py"))) == {f"intaglio.graph.{name}" for name in "abc"}


def test_the_documentation_shows_these_arrows() -> None:
    page = (ROOT.parents[1] / "docs" / "internals" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\S.*?) \| (.+?) \|$", page, re.MULTILINE)
    shown = {room: set() if other == "nothing" else set(other.split(", ")) for room, _, other in rows}
    assert shown == {room: set(other.split()) for room, other in MAY_IMPORT.items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_of_calibrate_import_one_way(folder: str) -> None:
    allowed = {folder, *FOLDERS[folder].split()}
    files = sorted((ROOT / "calibrate" / folder).glob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] == ["intaglio", "calibrate"]:
                assert parts[2] in allowed, f"calibrate/{folder}/{path.name} may not import {name}"


def test_the_documentation_shows_the_folders_of_calibrate() -> None:
    page = (ROOT.parents[1] / "docs" / "internals" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `calibrate/(\w+)/` \| (\S.*?) \| (.+?) \|$", page, re.MULTILINE)
    shown = {folder: "" if other == "nothing" else other.replace(",", "") for folder, _, other in rows}
    assert shown == FOLDERS
    assert {path.parent.name for path in (ROOT / "calibrate").glob("*/*.py")} == set(FOLDERS)


def test_every_room_is_there() -> None:
    rooms = {room_of(path) for path in FILES}
    assert rooms == set(MAY_IMPORT)


def test_a_file_name_says_which_file_is_meant() -> None:
    """But for operators, which `ops` and `program/operators` spell alike."""
    names = Counter(path.name for path in FILES if not path.name.startswith("__"))
    twice = {name for name, count in names.items() if count > 1}
    alike = {p.name for p in (ROOT / "ops").iterdir()} & {p.name for p in (ROOT / "program" / "operators").iterdir()}
    assert twice - alike <= {"requantize.py"}  # the operator, and the arithmetic of all operators
    assert all(names[name] == 2 for name in twice)


ONLY_IN = {
    "hashlib": {
        "files/digest.py": "every fingerprint and checksum of ours",
        "program/file_writer.py": "the checksum that the format of programs states",
        "report/library.py": "what a browser compares a script with",
    },
    "tempfile.mkdtemp": {"files/whole.py": "files that appear whole"},
    "os.replace": {"files/whole.py": "files that appear whole"},
    "os.rename": {"files/whole.py": "files that appear whole"},
}
"""What one file does for all: module or function, and the files that may use it."""


@pytest.mark.parametrize("name", ONLY_IN)
def test_what_one_file_does_for_all_is_done_there_alone(name: str) -> None:
    users = set()
    for path in FILES:
        used = attributes(path)
        if name in used | set(imported(path)) or any(other.startswith(f"{name}.") for other in used):
            users.add(path.relative_to(ROOT).as_posix())
    assert users == set(ONLY_IN[name])


@cache
def onnx_operators() -> frozenset[str]:
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain)


def operator_lists(source: str) -> list[list[str]]:
    """Every tuple, list and set in a file that names two or more ONNX operators; `__all__` aside."""
    known, parts = onnx_operators(), parts_of(source)
    skipped = {id(node.value) for node in parts if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node)}
    found = []
    for node in parts:
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)) and id(node) not in skipped:
            names = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            if sum(name in known for name in names if isinstance(name, str)) >= 2:
                found.append(names)
    return found


def test_facts_about_operators_stand_in_their_table() -> None:
    """A list of operators elsewhere asks for a column of the table, or for a row of `OPERATOR_LISTS` and its reason."""
    found = {path.relative_to(ROOT).as_posix(): operator_lists(path.read_text(encoding="utf-8")) for path in FILES}
    ours = {name: lists for name, lists in found.items() if not name.startswith("ops/")}
    counts = {name: len(lists) for name, lists in ours.items() if lists or name in OPERATOR_LISTS}
    assert counts == {name: count for name, (count, _) in OPERATOR_LISTS.items()}


def test_lists_of_operators_are_seen() -> None:
    assert operator_lists('a = {"Conv", "Gemm"}\nb = x in ("Relu", "Clip")\nc = f(["Add", "other", "Mul"])') == [
        ["Conv", "Gemm"],
        ["Relu", "Clip"],
        ["Add", "other", "Mul"],
    ]
    assert operator_lists('__all__ = ["Conv", "Gemm"]\na = ("Conv", "conv")\nb = {"Conv": 1, "Gemm": 2}') == []


def test_a_class_name_says_which_class_is_meant() -> None:
    """But for operators: the float one, the integer one and the quantized layer are spelled alike."""
    places: dict[str, set[str]] = {}
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, set()).add(path.relative_to(ROOT).as_posix())
    operators = ("ops/", "program/operators/", "train/nn/")
    twice = {
        name: paths
        for name, paths in places.items()
        if len(paths) > 1 and not all(p.startswith(operators) for p in paths)
    }
    assert set(twice) <= {"Requantize"}, twice  # the operator, and the arithmetic of all operators


def test_paths_in_the_documentation_exist() -> None:
    docs = ROOT.parents[1] / "docs"
    for page in (*(docs / "internals").glob("*.md"), docs / "extend.md"):
        for path in re.findall(r"`([\w/]+(?:\.py|\.md|/))`", page.read_text(encoding="utf-8")):
            assert (ROOT / path.removeprefix("src/intaglio/")).exists() or (ROOT.parents[1] / path).exists(), (
                f"{page.name}: {path}"
            )


def test_imports_are_seen_in_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "graph" / "passes" / "fold.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import intaglio.a\nfrom intaglio import b\nfrom ... import c\nfrom ...d.e import f\nfrom . import g\n"
    )
    assert list(imported(path)) == [
        "intaglio.a",
        "intaglio.b",
        "intaglio.c",
        "intaglio.d.e.f",
        "intaglio.graph.passes.g",
    ]


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_intaglio_loads_neither_torch_nor_onnx() -> None:
    run_python(
        "import sys, intaglio\n"
        "loaded = {'torch', 'onnx', 'onnx_ir', 'onnxscript', 'PIL', 'pyarrow', 'pydantic', 'rich'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )


ONLY_CORE = (
    "import sys\n"
    "class OnlyCore:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        allowed = {*sys.stdlib_module_names, 'numpy', 'safetensors', 'intaglio'}\n"
    "        if name.split('.')[0] not in allowed and not name.startswith('__editable__'):\n"
    "            raise ModuleNotFoundError(f'{name} is not part of a core install', name=name)\n"
    "sys.meta_path.insert(0, OnlyCore())\n"
)
"""Code that makes a process a core install."""


@pytest.mark.parametrize(
    "module",
    [
        "intaglio.errors",
        "intaglio.number",
        "intaglio.program",
        "intaglio.data",
        "intaglio.codegen.native",
        "intaglio.cli.bench_command",
    ],
)
def test_core_needs_only_numpy_and_safetensors(module: str) -> None:
    run_python(f"{ONLY_CORE}import {module}\n")


def test_public_names_that_a_core_install_lacks_name_the_extra() -> None:
    run_python(
        f"{ONLY_CORE}import intaglio\n"
        "for name in ('pictures', 'quantize'):\n"
        "    try:\n"
        "        getattr(intaglio, name)\n"
        "    except intaglio.IntaglioError as error:\n"
        "        text = str(error)\n"
        "    assert text.startswith(f'intaglio.{name} needs the package '), text\n"
        "    assert text.endswith(\"which is not installed; pip install 'intaglio[quantize]'\"), text\n"
    )
