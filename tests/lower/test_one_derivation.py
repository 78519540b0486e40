"""Scales become integers in the factories of `program/operators`, which the parity tests test, and nowhere else."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

import intaglio
from intaglio.program import OPERATORS, Operator

ROOT = Path(intaglio.__file__).parent
LOWERING = sorted(path for room in ("ops", "lower") for path in (ROOT / room).rglob("*.py"))


def factories(operator: type[Operator]) -> set[str]:
    """Class methods that make the operator from real numbers."""
    return {name for name in dir(operator) if name.startswith("from_")}


def calls(source: str) -> Iterator[tuple[str, str]]:
    """(class, method) of every call of an operator's class; the method is empty where the class itself is called."""
    tree, names = ast.parse(source), {}
    kinds = {operator.__module__: operator.__name__ for operator in OPERATORS.values()}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found = {alias.asname or alias.name: alias.name for alias in node.names}
            names |= {here: there for here, there in found.items() if kinds.get(node.module or "") == there}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called, method = node.func, ""
            if isinstance(called, ast.Attribute):
                called, method = called.value, called.attr
            if isinstance(called, ast.Name) and called.id in names:
                yield names[called.id], method


def test_calls_are_seen_under_any_name() -> None:
    source = "from intaglio.program.operators.add import Add as Sum\nSum(1)\nSum.from_real(2)\nAdd(3)"
    assert list(calls(source)) == [("Add", ""), ("Add", "from_real")]


CALLS = [(path.name, *call) for path in LOWERING for call in calls(path.read_text(encoding="utf-8"))]
WITH_FACTORS = [
    operator
    for operator in OPERATORS.values()
    if any("Requantize" in str(field.type) for field in dataclasses.fields(operator))
]


def test_operators_with_factors_are_known() -> None:
    assert {"Conv2d", "ConvTranspose2d", "Dense", "MatMul", "Mul"} <= {operator.__name__ for operator in WITH_FACTORS}


@pytest.mark.parametrize("operator", WITH_FACTORS, ids=lambda operator: operator.kind)
def test_an_operator_with_factors_has_a_factory(operator: type[Operator]) -> None:
    assert factories(operator)


@pytest.mark.parametrize("operator", [o for o in OPERATORS.values() if factories(o)], ids=lambda o: o.kind)
def test_lowering_makes_an_operator_by_its_factory_alone(operator: type[Operator]) -> None:
    """No field of it is computed a second time, and the factory is no dead code."""
    found = {(file, method) for file, name, method in CALLS if name == operator.__name__}
    by_hand = sorted(file for file, method in found if method not in factories(operator))
    assert not by_hand, f"{operator.__name__} is made by hand in {', '.join(by_hand)}: call one of its factories"
    assert found, f"no program gets a {operator.__name__} by {', '.join(sorted(factories(operator)))}"


def test_no_file_of_lowering_computes_factors() -> None:
    for path in LOWERING:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("intaglio.number", "intaglio.number.requantize"):
                assert "Requantize" not in {alias.name for alias in node.names}, path.name
