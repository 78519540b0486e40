"""The scripts in findings/ are listed, pin their packages, clean up and say what they saw; they are run by hand."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
SET_UP = """set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"""
INSTALL = re.compile(r'"\$folder/venv/bin/python" -m pip install --quiet (.+)\n')
PROGRAM = re.compile(
    r"""^"\$folder/venv/bin/python" - ("\$folder" )?<<'PYTHON'\n(.*)^PYTHON\n\Z""", re.MULTILINE | re.DOTALL
)
IMPORTED_AS = {"pillow": "PIL"}
OUTSIDE = re.compile(r"intaglio|://|pypi|index-url|find-links", re.IGNORECASE)


def pins(script: Path) -> dict[str, str]:
    """Versions of the packages that the script installs, by the name that Python imports."""
    installs = INSTALL.findall(script.read_text())
    assert len(installs) == 1, f"expected one pip install, got {len(installs)}"
    found = {}
    for requirement in installs[0].split():
        match = re.fullmatch(r"([a-z0-9-]+)==(\d+(?:\.(?:dev)?\d+)+)", requirement)
        assert match, f"expected name==version, got {requirement}"
        name = IMPORTED_AS.get(match[1], match[1].replace("-", "_"))
        found[name] = match[2]
    return found


def test_readme_lists_each_script_once_and_no_other() -> None:
    listed = re.findall(r"^\| \[(\S+)\]\((\S+)\) \| \S.*\|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert [name for name, link in listed if name != link] == []
    assert Counter(name for name, _ in listed) == Counter(path.name for path in SCRIPTS)
    assert listed == sorted(listed)
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(["README.md", *(path.name for path in SCRIPTS)])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_works_in_a_folder_that_it_removes(script: Path) -> None:
    assert os.access(script, os.X_OK), "expected an executable file: chmod +x"
    first, *rest = script.read_text().splitlines(keepends=True)
    assert first == "#!/usr/bin/env bash\n"
    header = [line for line in rest if line.startswith("#")]
    assert rest[: len(header)] == header and any(line.startswith("# Seen: ") for line in header)
    assert "".join(rest[len(header) :]).startswith(SET_UP)
    assert any(version in "".join(header) for version in pins(script).values()), "expected a version in the header"
    assert OUTSIDE.findall(script.read_text()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_imports_what_it_pins_and_reports_by_its_exit_status(script: Path) -> None:
    program = PROGRAM.search(script.read_text())
    assert program, "expected one Python program as the script's last command"
    tree = ast.parse(program[2])
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported}
    assert packages - sys.stdlib_module_names == set(pins(script))
    assert ast.unparse(tree.body[-1]).startswith("sys.exit(")
