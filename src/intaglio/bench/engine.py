"""Engines with a loaded network, ready to be timed; ours included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from intaglio.codegen.native import NativeProgram

OURS = "intaglio"
Array = NDArray[Any]


@dataclass(frozen=True)
class Engine:
    """One network in one engine.

    Args:
        name: `intaglio`, `onnxruntime`, `openvino`, `litert` or `torch`.
        precision: `int8` or `fp32`.
        ends: type of inputs and outputs: `float` or `integers`.
        run: runs one inference; inputs and, if possible, outputs are allocated before.
        enter: called before its turn, to set process-wide settings of the engine.
    """

    name: str
    precision: str
    ends: str
    run: Callable[[], object]
    enter: Callable[[], None] | None = None

    @property
    def title(self) -> str:
        """Engine and precision, for tables."""
        return f"{self.name} {self.precision}"


class Unavailable(Exception):  # noqa: N818  (a result, not an error)
    """Reason why an engine cannot be timed, with what to install or to give."""


def ours(native: NativeProgram, x: Sequence[Array]) -> list[Engine]:
    """Return our program twice: with integer inputs and outputs, and with float ones.

    Args:
        native: the compiled Program.
        x: real inputs with batch size 1.
    """
    prepared = native.prepare(*native.program.quantize_inputs(*x))
    return [
        Engine(OURS, "int8", "integers", prepared.run),
        Engine(OURS, "int8", "float", lambda: native.run(*x)),
    ]
