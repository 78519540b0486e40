"""The hardware targets as a table: what `intaglio targets` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from intaglio.tables import text_table
from intaglio.targets.target import BUILTIN, Target, TensorFormat, load_target

HEADINGS = ("name", "activations", "products", "weights", "scale per", "accumulator")


class Targets(Mapping[str, Target]):
    """Targets by name, as `intaglio.targets` returns them."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = dict(targets)

    def __getitem__(self, name: str) -> Target:
        return self._targets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def __repr__(self) -> str:
        return f"Targets({', '.join(self._targets)})"

    def rows(self) -> list[tuple[Any, ...]]:
        """Cells of the table under `HEADINGS`: the formats that each target prefers."""
        return [
            (
                target.name,
                f"{target.activations[0].type} {target.activations[0].scheme.value.replace('_', ' ')}",
                "" if target.products is None else str(target.products.type),
                str(target.weights[0].type),
                target.weights[0].per,
                target.accumulator,
            )
            for target in self.values()
        ]

    def summary(self) -> str:
        """Table of the formats that each target prefers."""
        return text_table("targets", HEADINGS, self.rows())

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data, as `intaglio targets --json` prints."""
        return [_described(target) for target in self.values()]


def targets(*names: str | Path | Target) -> Targets:
    """List hardware targets.

    Args:
        names: built-in names or TOML files; all built-in targets where none is given.
    Returns:
        Targets by name; `summary()` is a table.
    Raises:
        TargetError: there is no such name or file, or a description is invalid.
    """
    found = [load_target(name) for name in names or BUILTIN]
    return Targets({target.name: target for target in found})


def _described(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "description": target.description,
        "activations": "; ".join(map(format_words, target.activations)),
        "products": "" if target.products is None else format_words(target.products),
        "weights": "; ".join(map(format_words, target.weights)),
        "rule": target.rule.value,
        "accumulator": target.accumulator,
    }


def format_words(fmt: TensorFormat) -> str:
    """Type, scheme and granularity of a format."""
    return f"{fmt.type} {fmt.scheme.value} per {fmt.per}"
