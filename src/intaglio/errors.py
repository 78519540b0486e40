"""Every exception that Intaglio raises on purpose.

    IntaglioError
    ├── UsageError                 an invalid call or command line
    ├── ModelError                 a model file or module that cannot be read as a Graph
    │   ├── UnsupportedOperatorError   it has an operator that Intaglio does not support
    │   └── AlreadyQuantizedError  it is already quantized; `intaglio.load_quantized` reads it
    ├── DataError                  calibration or evaluation data
    ├── TargetError                an invalid target description, or a request that the target does not support
    ├── CalibrationError           ranges that cannot be calibrated
    ├── PlanError                  a Plan that does not fit its Graph
    ├── LoweringError              a Graph and Plan that cannot be lowered to integers
    ├── ProgramError               a Program or `.intaglio` file that is damaged or inconsistent
    ├── TrainingError              training that diverged or lost a process
    ├── CompileError               C that cannot be generated, compiled or loaded
    └── ExportError                a result that cannot be written

Each message says where, what was expected, what was found and what to do. Internal invariants are `assert`s.
"""

from __future__ import annotations

from collections.abc import Sequence


class IntaglioError(Exception):
    """Base of every error meant for the user."""


class UsageError(IntaglioError):
    """Invalid call or command line."""


class ModelError(IntaglioError):
    """Model that cannot be read."""


class UnsupportedOperatorError(ModelError):
    """Model with an operator, or a form of one, that Intaglio does not support."""


class AlreadyQuantizedError(ModelError):
    """Quantized model where a float network is expected; `intaglio.load_quantized` reads such files."""


class DataError(IntaglioError):
    """Calibration or evaluation data that cannot be used."""


class TargetError(IntaglioError):
    """Invalid target description, or a request that the target does not support."""


class CalibrationError(IntaglioError):
    """Ranges that cannot be calibrated from the given data."""


class PlanError(IntaglioError):
    """Plan that does not fit its Graph."""


class LoweringError(IntaglioError):
    """Graph and Plan that cannot be lowered to an integer-only Program; `blockers` lists every reason."""

    def __init__(self, message: str, blockers: Sequence[str] = ()) -> None:
        self.blockers = tuple(blockers)
        super().__init__(message if not blockers else "\n".join([message, *(f"  - {b}" for b in blockers)]))


class ProgramError(IntaglioError):
    """Program or `.intaglio` file that is damaged or inconsistent."""


class TrainingError(IntaglioError):
    """Training that cannot continue: NaN or infinite loss, a collapsed scale, a dead process."""


class CompileError(IntaglioError):
    """C that cannot be generated for a machine, compiled by its tool chain, or run on this processor."""


class ExportError(IntaglioError):
    """Result that cannot be written."""


def check_whole(name: str, value: object, least: int | None = None) -> None:
    """Check that an argument is a whole number.

    Raises:
        UsageError: it is of another type, such as a text, or below `least`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageError(f"{name}: expected a whole number, got {value!r}, a {type(value).__name__}")
    if least is not None and value.__index__() < least:
        raise UsageError(f"{name}: expected at least {least}, got {value}")


def check_number(name: str, value: object) -> None:
    """Check that an argument is a real number.

    Raises:
        UsageError: it is of another type, such as a text.
    """
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise UsageError(f"{name}: expected a number, got {value!r}, a {type(value).__name__}")
