"""`docs/stability.md` names what is public; the code has these names, and no others."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.cli.main import COMMANDS
from intaglio.codegen.build import plan
from intaglio.codegen.header import header
from intaglio.codegen.machine import MACHINES
from intaglio.program import Program
from intaglio.targets import OperatorRow, Target, TensorFormat

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "stability.md").read_text(encoding="utf-8")


def named(beginning: str) -> list[str]:
    """Names in backticks of the paragraph or list that begins so."""
    start = PAGE.index(beginning) + len(beginning)
    return re.findall(r"`([^`]+)`", PAGE[start:].split("\n\n")[0].split(". ")[0])


def test_public_python_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    reference = importlib.import_module("python_reference")
    rows = dict(re.findall(r"^\| `(intaglio[\w.]*)` \| (.*) \|$", PAGE, re.MULTILINE))
    said = {module: sorted(re.findall(r"`(\w+)`", names)) for module, names in rows.items()}
    assert said == {module: sorted(reference.names(module)) for module in reference.PUBLIC}
    assert said["intaglio"] == sorted(ig.__all__)


def test_rooms_for_deeper_scripts_have_a_list_of_names() -> None:
    first, *others = named("The names in `__all__` of ")
    for module in (first, *(f"intaglio.{name}" for name in others)):
        assert importlib.import_module(module).__all__


def test_commands() -> None:
    assert named("## Commands\n\n") == list(COMMANDS)


@pytest.mark.parametrize(
    ("what", "model"), [("a target", Target), ("a format", TensorFormat), ("an operator", OperatorRow)]
)
def test_keys_of_a_target(what: str, model: type[Target]) -> None:
    beginning = f"Keys of {what}: "
    assert re.findall(r"`(\w+)`", PAGE[PAGE.index(beginning) :].split(".")[0]) == list(model.model_fields)


@pytest.fixture(scope="module")
def program() -> Program:
    net = torch.nn.Linear(6, 3).eval()
    graph = ig.load(net, torch.zeros(1, 6))
    return ig.quantize(graph, np.eye(6, dtype=np.float32), calibrator="max", bias_correction=False).lower()


def test_names_of_the_c_interface(program: Program) -> None:
    section = PAGE[PAGE.index("## C interface") : PAGE.index("## Old names")]
    listed = set(re.findall(r"\b(?:model|MODEL)_\w+", section))
    declared: dict[str, set[str]] = {}
    for name in ("portable", "cortex-m4"):
        text = re.sub(r"/\*.*?\*/", "", header(plan(program, MACHINES[name])), flags=re.DOTALL)
        declared[name] = set(re.findall(r"\b(?:model|MODEL)_\w+", text)) - {"MODEL_H"}
    assert listed == declared["portable"] | declared["cortex-m4"]
    assert declared["portable"] - declared["cortex-m4"] == {"model_run_on", "model_host", "model_task"}
    assert declared["cortex-m4"] - declared["portable"] == {"MODEL_INPUT_OFFSET", "MODEL_OUTPUT_OFFSET"}


def test_old_names_that_the_page_lists_work() -> None:
    old, new, *modules = named("These old names work today:\n\n- ")[:6]
    assert (old, new, modules) == ("intaglio.measure", "intaglio.evaluation", ["gates", "run", "model_stages", "stage"])
    renamed = {"gates": "gates", "run": "model_stages", "stage": "stage"}
    importlib.import_module(old)
    for was, now in renamed.items():
        assert importlib.import_module(f"{old}.{was}") is importlib.import_module(f"{new}.{now}")
