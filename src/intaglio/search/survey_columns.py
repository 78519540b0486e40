"""Columns of a survey of several networks: a target and a method each, such as `cpu-int8+recovery`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from intaglio.errors import UsageError
from intaglio.number import Scheme
from intaglio.ptq.recipe import Recipe
from intaglio.targets import Target, load_target

RETRAINING = "retraining"
METHODS = {
    "": "post-training quantization: calibration, weights rounded to nearest",
    "equalization": "the same, and cross-layer equalization",
    "bias-correction": "the same, and bias correction",
    "recovery": "the same, and cross-layer equalization and bias correction",
    "gptq": "recovery, with weights rounded by GPTQ",
    "adaround": "recovery, with weights rounded by AdaRound",
    "blocks": "recovery, with weights rounded by block reconstruction",
    RETRAINING: "retraining with quantization in the forward pass",
}
"""Method -> its description in the legend; the empty one is that of a target alone."""
DEFAULT = ("int8-per-tensor", "int8-per-tensor+recovery", "cpu-int8", "cpu-int8+recovery", "w4a8+gptq")
DEFAULT_TRAINED = tuple(f"{target}+{RETRAINING}" for target in ("int8-per-tensor", "cpu-int8", "w4a8", "w4a4"))
"""Further columns where there are training data."""


@dataclass(frozen=True)
class Column:
    """Column of the table.

    Args:
        target: the number format.
        method: a key of `METHODS`.
    """

    target: Target
    method: str = ""

    @property
    def name(self) -> str:
        """Name as on the command line: `cpu-int8+recovery`."""
        return f"{self.target.name}+{self.method}" if self.method else self.target.name

    @property
    def type(self) -> str:
        """Name of the number format."""
        return self.target.name

    def recipe(self, calibrator: str) -> Recipe:
        """Return the recipe of post-training quantization, for training that of its initial scales."""
        base = Recipe(calibrator=calibrator)
        if self.method in ("", RETRAINING):
            return base.without_recovery()
        if self.method == "equalization":
            return replace(base, bias_correction=False)
        if self.method == "bias-correction":
            return replace(base, equalize=False)
        return base if self.method == "recovery" else replace(base, rounding=self.method)


def parse_columns(text: str | None, *, trained: bool) -> tuple[Column, ...]:
    """Parse `TARGET[+METHOD],...`.

    Args:
        text: the columns, separated by commas; None: `DEFAULT`, and `DEFAULT_TRAINED` with training data.
        trained: whether there are training data.
    Raises:
        UsageError: an unknown method, no column, or one that occurs twice.
        TargetError: an unknown target.
    """
    default = (*DEFAULT, *DEFAULT_TRAINED) if trained else DEFAULT
    names = default if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
    columns = tuple(map(_column, names))
    if text is None:
        order = list(dict.fromkeys(c.target.name for c in columns))
        columns = tuple(sorted(columns, key=lambda c: order.index(c.target.name)))  # retraining beside its format
    if not columns:
        raise UsageError("columns: expected TARGET[+METHOD] such as cpu-int8+recovery, got none")
    for column in columns:
        if columns.count(column) > 1:
            raise UsageError(f"columns: expected each column once, got {column.name} again")
    return columns


def _column(text: str) -> Column:
    name, plus, method = text.partition("+")
    if method not in METHODS or (plus and not method):
        known = ", ".join(filter(None, METHODS))
        raise UsageError(f"columns: expected TARGET or TARGET+METHOD with a method of {known}, got {text!r}")
    return Column(load_target(name), method)


def format_of(target: Target) -> str:
    """Name a target's number format as data sheets do: `INT8 per channel`, `W4A8 per channel`."""
    weights = target.weights[0]
    data = target.products or target.activations[0]
    short = "INT8" if weights.type.bits == data.type.bits == 8 else f"W{weights.type.bits}A{data.type.bits}"
    power = ", scales are powers of two" if weights.scheme is Scheme.POWER_OF_TWO else ""
    return f"{short} per {weights.per}{power}"
