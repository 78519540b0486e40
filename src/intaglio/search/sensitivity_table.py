"""Sensitivities of all layers: ranking, and the JSON file from which an interrupted measurement resumes."""

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

SENSITIVITIES = CheckpointKind("the sensitivities of layers", "intaglio-sensitivity", 3, Json())
_TYPES = {
    **dict.fromkeys(("network", "target", "metric"), str),
    **dict.fromkeys(("samples", "scored"), int),
    "lower_is_better": bool,
    "real": (int, float, type(None)),
}
By = Literal["sqnr", "score"]


@dataclass(frozen=True)
class LayerSensitivity:
    """Sensitivity of one layer.

    Args:
        name, op_type: name and operator type of its node; `Input` for a network input.
        alone: effect of quantizing only this layer.
        without: effect of quantizing everything but this layer.
    """

    name: str
    op_type: str
    alone: Effect
    without: Effect

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        named = {"name": self.name, "op_type": self.op_type}
        return {**named, "alone": self.alone.to_json(), "without": self.without.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LayerSensitivity:
        """Read the result of `to_json`."""
        effects = Effect.from_json(data["alone"]), Effect.from_json(data["without"])
        return cls(str(data["name"]), str(data["op_type"]), *effects)


@dataclass
class Sensitivities:
    """Result of `sensitivity`.

    Args:
        network, target: names of the network and the target.
        metric: task metric; empty if only SQNR was measured.
        samples: number of held-back samples of each SQNR.
        scored: number of labelled samples of each score.
        real: score of the float network.
        quantized: effect of quantizing every layer.
        layers: sensitivities in the network's order.
        lower_is_better: whether smaller values of the metric are better.
        notes: which results were reused or measured again, and why.
    """

    network: str
    target: str
    metric: str
    samples: int
    scored: int
    real: float | None
    quantized: Effect
    layers: list[LayerSensitivity] = field(default_factory=list)
    lower_is_better: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Names of the layers measured so far."""
        return {layer.name for layer in self.layers}

    def harm(self, layer: LayerSensitivity, by: By = "sqnr") -> float:
        """Return the cost of quantizing a layer: mean of its cost alone and of the gain from leaving it real.

        By `sqnr`: noise power divided by signal power. By `score`: loss in the metric's unit; a NaN score counts as
        infinite.
        """
        if by == "sqnr":
            gained = self.quantized.noise - layer.without.noise
            return 0.5 * (layer.alone.noise + gained)
        if self.real is None or self.quantized.score is None:
            raise UsageError("ranking by score: expected a task metric to be measured, got none; give labelled data")
        sign = -1.0 if self.lower_is_better else 1.0
        alone = self.real - _number(layer.alone.score)
        gained = _number(layer.without.score) - self.quantized.score
        harm = 0.5 * sign * (alone + gained)
        return harm if math.isfinite(harm) else math.inf

    def ranking(self, by: By = "sqnr") -> list[LayerSensitivity]:
        """Return the layers, most harmful first; layers with equal score are ordered by SQNR.

        Raises:
            UsageError: `by` is `score`, but no score was measured.
        """
        if by == "sqnr":
            return sorted(self.layers, key=lambda layer: -self.harm(layer))
        return sorted(self.layers, key=lambda layer: (-self.harm(layer, "score"), -self.harm(layer)))

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as in the file."""
        return {
            "network": self.network,
            "target": self.target,
            "metric": self.metric,
            "lower_is_better": self.lower_is_better,
            "samples": self.samples,
            "scored": self.scored,
            "real": self.real,
            "quantized": self.quantized.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sensitivities:
        """Read the result of `to_json`."""
        layers = [LayerSensitivity.from_json(layer) for layer in data["layers"]]
        return cls(**{**data, "quantized": Effect.from_json(data["quantized"]), "layers": layers})


class SensitivityFile:
    """JSON file of sensitivities, rewritten atomically each time.

    The file is a result too: one about another network, other data or other settings is replaced, and `notes` says so.

    Args:
        path: the file.
        belongs_to: everything that the results depend on (see `files.run_fingerprint`).
    Attributes:
        found: results in the file for this network, data and settings; None if there are none.
        notes: what is reused, or why nothing is.
    Raises:
        UsageError: see `files.Checkpoint`; results of another network, data or settings are no error here.
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
        """Write the file."""
        self._checkpoint.save(found.to_json())

    def _take(self, found: Sensitivities, changed: list[str]) -> None:
        path = self._checkpoint.path
        if not changed:
            self.found = found
            self.notes.append(f"{len(found.layers)} layers reused from {path}")
        elif "network" in changed:
            self.notes.append(
                f"{path} is of another network ({found.network}, {found.target}): all layers measured again"
            )
        else:
            words = " and ".join(changed) + (" has changed" if len(changed) == 1 else " have changed")
            self.notes.append(f"{path}: {words} since it was written: all layers measured again")


def _sensitivities(contents: Contents) -> Sensitivities:
    check_types(contents, _TYPES)
    return Sensitivities.from_json(contents)


def _number(score: float | None) -> float:
    return math.nan if score is None else score
