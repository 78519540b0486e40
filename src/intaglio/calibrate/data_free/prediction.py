"""Predict the moments of every value of a Graph without data."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.input_moments import InputRange, input_normals
from intaglio.calibrate.data_free.moment_propagation import propagate
from intaglio.graph import Graph


@dataclass(frozen=True)
class Prediction:
    """Moments of all values of a Graph, and their source.

    Args:
        values: distributions by value name.
        inputs: distributions of the network's inputs by name.
        text: the source in words, for the history.
    """

    values: dict[str, ClippedGaussian]
    inputs: dict[str, ClippedGaussian]
    text: str

    def of(self, graph: Graph) -> Prediction:
        """Predict the moments of another form of the network, with the same inputs."""
        return Prediction(propagate(graph, self.inputs), self.inputs, self.text)


def predict(graph: Graph, input_range: InputRange = None) -> Prediction:
    """Predict the moments of all values of a Graph without data.

    Args:
        graph: in normal form, loaded by `intaglio.load`, which keeps what batch norm recorded.
        input_range: (low, high) of the inputs, or by input name; None: from the first batch norms.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is not two ascending finite numbers.
    """
    inputs, text = input_normals(graph, input_range)
    values = propagate(graph, inputs)
    recorded = sum(name in values for name in graph.moments)
    recorded_text = f"{recorded} values as batch norm recorded them, " if recorded else "no batch norm, "
    return Prediction(values, inputs, f"{text}; {recorded_text}the others from weights")
