"""An engine with one network loaded, ready to be timed; and ours."""

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
        name: of the engine: `intaglio`, `onnxruntime`, `openvino`, `litert`, `torch`.
        precision: `int8` or `fp32`.
        ends: what goes in and comes out: `float` or `integers`.
        run: one inference; inputs and, where the engine lets us, outputs lie ready.
        enter: called before its turn, where the engine has settings for the whole process.
    """

    name: str
    precision: str
    ends: str
    run: Callable[[], object]
    enter: Callable[[], None] | None = None

    @property
    def title(self) -> str:
        """Engine and precision."""
        return f"{self.name} {self.precision}"


class Unavailable(Exception):  # noqa: N818  (it is an answer, not an error)
    """A peer that cannot take part, and why: what to install or to give."""


def ours(native: NativeProgram, x: Sequence[Array]) -> list[Engine]:
    """Our program with integers, as it runs in a pipeline of integers, and with float ends.

    Args:
        native: the compiled Program.
        x: real inputs, a batch of 1 in front.
    """
    prepared = native.prepare(*native.program.quantize_inputs(*x))
    return [
        Engine(OURS, "int8", "integers", prepared.run),
        Engine(OURS, "int8", "float", lambda: native.run(*x)),
    ]
