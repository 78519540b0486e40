"""What the outputs of a model mean to people, as a data descriptor says it under [postprocess]."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassOutput:
    """One score per class.

    Attributes:
        output: name of the output; None: the only one.
        top: number of classes to show.
        softmax: whether scores are shown as the softmax of the output; None: unless the model ends with a softmax.
    """

    output: str | None = None
    top: int = 3
    softmax: bool | None = None


@dataclass(frozen=True)
class NumberOutput:
    """Real numbers without further meaning."""


Postprocess = ClassOutput | NumberOutput
