"""Sensitivities as a table: ranked, in words, and in a JSON file that survives an interruption."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from intaglio.errors import UsageError
from intaglio.files import Checkpoint, CheckpointKind
from intaglio.files.encodings import Contents, Json
from intaglio.files.reading import check_types
from intaglio.search.effect import Effect

SENSITIVITIES = CheckpointKind("the sensitivities of layers", "intaglio-sensitivity", 2, Json())
_TYPES = {
    **dict.fromkeys(("network", "target", "metric"), str),
    **dict.fromkeys(("samples", "scored"), int),
    "real": (int, float, type(None)),
}
By = Literal["sqnr", "score"]


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer.

    Args:
        name, op_type: of its node; `Input` for an input of the network.
        alone: when only this layer is quantized.
        without: when everything but this layer is.
    """

    name: str
    op_type: str
    alone: Effect
    without: Effect

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        named = {"name": self.name, "op_type": self.op_type}
        return {**named, "alone": self.alone.to_json(), "without": self.without.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LayerSensitivity:
        """Read what `to_json` gave."""
        effects = Effect.from_json(data["alone"]), Effect.from_json(data["without"])
        return cls(str(data["name"]), str(data["op_type"]), *effects)


@dataclass
class Sensitivities:
    """What `sensitivity` returns.

    Args:
        network, target: their names.
        metric: the task metric; empty where only output error was measured.
        samples: held-back samples behind every SQNR.
        scored: labelled samples behind every score.
        real: the score of the float network.
        quantized: the network with every layer quantized.
        layers: in the network's order.
        notes: what was reused and what was measured anew, and why.
    """

    network: str
    target: str
    metric: str
    samples: int
    scored: int
    real: float | None
    quantized: Effect
    layers: list[LayerSensitivity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The layers measured so far."""
        return {layer.name for layer in self.layers}

    def harm(self, layer: LayerSensitivity, by: By = "sqnr") -> float:
        """What quantizing a layer costs: the mean of what it does alone and of what leaving it out gains.

        By `sqnr`: power of the error, as a share of the outputs'. By `score`: points of the metric (of mse: its
        increase). Layers with a score that is NaN do infinite harm.
        """
        if by == "sqnr":
            gained = self.quantized.noise - layer.without.noise
            return 0.5 * (layer.alone.noise + gained)
        if self.real is None or self.quantized.score is None:
            raise UsageError("ranking by score: expected a task metric to be measured, got none; give labelled data")
        sign = -1.0 if self.metric == "mse" else 1.0
        alone = self.real - _number(layer.alone.score)
        gained = _number(layer.without.score) - self.quantized.score
        harm = 0.5 * sign * (alone + gained)
        return harm if math.isfinite(harm) else math.inf

    def ranking(self, by: By = "sqnr") -> list[LayerSensitivity]:
        """The layers, worst first; those equal by score in the order of their SQNR.

        Raises:
            UsageError: by score, and none was measured.
        """
        if by == "sqnr":
            return sorted(self.layers, key=lambda layer: -self.harm(layer))
        return sorted(self.layers, key=lambda layer: (-self.harm(layer, "score"), -self.harm(layer)))

    def to_json(self) -> dict[str, Any]:
        """As the file holds it."""
        return {
            "network": self.network,
            "target": self.target,
            "metric": self.metric,
            "samples": self.samples,
            "scored": self.scored,
            "real": self.real,
            "quantized": self.quantized.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sensitivities:
        """Read what `to_json` gave."""
        layers = [LayerSensitivity.from_json(layer) for layer in data["layers"]]
        return cls(**{**data, "quantized": Effect.from_json(data["quantized"]), "layers": layers})


class SensitivityFile:
    """Sensitivities in a JSON file, written whole each time.

    The file is a result too: one about another network, other data or other settings is replaced, and `notes` says so.

    Args:
        path: of the file.
        belongs_to: all that the results depend on (see `files.run_fingerprint`).
    Attributes:
        found: what the file has for this network, these data and settings; None where it has nothing.
        notes: why it has nothing, or what is reused.
    Raises:
        UsageError: see `files.Checkpoint`; but for other networks, data and settings.
    """

    def __init__(self, path: str | os.PathLike[str], belongs_to: Mapping[str, Any]) -> None:
        self._checkpoint = Checkpoint(SENSITIVITIES, path, belongs_to)
        self.found: Sensitivities | None = None
        self.notes: list[str] = []
        SENSITIVITIES.check_writable(Path(path))
        found, differences = self._checkpoint.compare(_sensitivities)
        if found is not None:
            self._take(found, list(differences))

    def write(self, found: Sensitivities) -> None:
        """Replace the file."""
        self._checkpoint.save(found.to_json())

    def _take(self, found: Sensitivities, changed: list[str]) -> None:
        path = self._checkpoint.path
        if not changed:
            self.found = found
            self.notes.append(f"{len(found.layers)} layers taken from {path}")
        elif "network" in changed:
            self.notes.append(f"{path} was about another network ({found.network}, {found.target}): measured anew")
        else:
            words = " and ".join(changed) + (" is another" if len(changed) == 1 else " are others")
            self.notes.append(f"{path}: {words} than when it was written: measured anew")


def _sensitivities(contents: Contents) -> Sensitivities:
    check_types(contents, _TYPES)
    return Sensitivities.from_json(contents)


def _number(score: float | None) -> float:
    return math.nan if score is None else score
