"""Every exception that Intaglio raises on purpose.

    IntaglioError
    ├── UsageError                 a call or command line that cannot be meant
    ├── ModelError                 a model file or module that cannot be read as a Graph
    │   ├── UnsupportedOperatorError   it holds an operator that Intaglio does not know
    │   └── AlreadyQuantizedError  another tool quantized it, and `intaglio.load_quantized` reads it
    ├── DataError                  calibration or evaluation data
    ├── TargetError                a target description, or a request that it does not allow
    ├── CalibrationError           ranges that cannot be found
    ├── PlanError                  a Plan that does not fit its Graph
    ├── LoweringError              a Graph and Plan that cannot become integers only
    ├── ProgramError               a Program or `.intaglio` file that is damaged or inconsistent
    ├── TrainingError              training that cannot go on
    ├── CompileError               C that cannot be generated, compiled or loaded
    └── ExportError                a result that cannot be written in the asked-for form

Each text says where, what was expected, what was found and what to do. Invariants of our own are `assert`s.
"""

from __future__ import annotations

from collections.abc import Sequence


class IntaglioError(Exception):
    """Base of every error meant for the user."""


class UsageError(IntaglioError):
    """A call or command line that cannot be meant."""


class ModelError(IntaglioError):
    """A model that cannot be read."""


class UnsupportedOperatorError(ModelError):
    """A model that holds an operator, or a form of one, that Intaglio does not know."""


class AlreadyQuantizedError(ModelError):
    """A model with quantizers in it where a float network is expected; `intaglio.load_quantized` reads such files."""


class DataError(IntaglioError):
    """Calibration or evaluation data that cannot be used."""


class TargetError(IntaglioError):
    """A target description that is not valid, or a request that the target does not allow."""


class CalibrationError(IntaglioError):
    """Ranges that cannot be found from the data given."""


class PlanError(IntaglioError):
    """A Plan that does not fit its Graph."""


class LoweringError(IntaglioError):
    """A Graph and Plan that cannot become an integer-only Program; `blockers` lists every reason."""

    def __init__(self, message: str, blockers: Sequence[str] = ()) -> None:
        self.blockers = tuple(blockers)
        super().__init__(message if not blockers else "\n".join([message, *(f"  - {b}" for b in blockers)]))


class ProgramError(IntaglioError):
    """A Program or `.intaglio` file that is damaged or inconsistent."""


class TrainingError(IntaglioError):
    """Training that cannot go on: a loss that is no number, a scale that has collapsed, a process that has died."""


class CompileError(IntaglioError):
    """C that cannot be generated for a machine, compiled by its tool chain, or run on this processor."""


class ExportError(IntaglioError):
    """A result that cannot be written in the form asked for."""
