"""What an operator promises about its operands: which are quantized how, what is shared, fixed or derived.

Contracts are facts about operators; targets say which formats a processor has; placement puts the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What an input of an operator is to quantization."""

    ACTIVATION = "activation"  # computed at run time
    WEIGHT = "weight"  # constant, multiplied and summed; the weight format
    BIAS = "bias"  # constant on the grid scale_x * scale_w, int32
    SIDE = "side"  # constant operand of an elementwise operator; the activation format, range known offline
    OFFLINE = "offline"  # constant that lowering turns into integer parameters (bounds, slopes, indices)


@dataclass(frozen=True)
class Own:
    """The output has parameters of its own, found by calibration."""


@dataclass(frozen=True)
class Same:
    """The output shares the parameters of an input, whose integers are moved or, where it `rounds`, interpolated."""

    index: int = 0
    rounds: bool = False


@dataclass(frozen=True)
class Joined:
    """The output is made of all inputs' integers (Concat): they share its parameters where nothing forbids it."""


@dataclass(frozen=True)
class Fixed:
    """The output's real range is known from mathematics: [low, high)."""

    low: float
    high: float


@dataclass(frozen=True)
class Plain:
    """The output is no quantized number but an index."""


Output = Own | Same | Joined | Fixed | Plain


@dataclass(frozen=True)
class Contract:
    """The contract of one node.

    Args:
        roles: one for each input of the node (a missing optional input counts as OFFLINE).
        output: how the output's parameters come about (every output of the node follows it).
        clamp: real bounds, when all that the operator does is to clamp its input.
        sign: whether all that the operator does is to take the sign of its input.
        fuses_clamp: whether a clamp that follows can be this operator's saturation.
        fuses_sign: whether a sign that follows can be, since the result is requantized from one accumulator.
        weight_axis: the weight's output-channel axis, None when it has one scale only.
        masks: whether all that the operator does is to tell the softmaxes behind it which positions to leave out.
        learns: inputs that are offline and that training changes all the same: gains, slopes.
        wide_inputs: inputs that are read in 16 bits, whatever the target's activations are, as what is summed up over
            many steps.
        state_outputs: outputs that are kept in 16 bits with a power-of-two scale from one step to the next.
        why: a note for people, where the choice is not plain.
    """

    roles: tuple[Role, ...]
    output: Output = Own()
    clamp: tuple[float, float] | None = None
    sign: bool = False
    fuses_clamp: bool = False
    fuses_sign: bool = False
    weight_axis: int | None = None
    masks: bool = False
    learns: tuple[int, ...] = ()
    wide_inputs: tuple[int, ...] = ()
    state_outputs: tuple[int, ...] = ()
    why: str = ""
