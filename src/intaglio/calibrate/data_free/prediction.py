"""Predict the moments of every value of a Graph without data."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.input_moments import InputRange, input_normals
from intaglio.calibrate.data_free.moment_propagation import propagate
from intaglio.graph import Graph


@dataclass(frozen=True)
class Prediction:
    """Moments of all values of a Graph, and where they are known from.

    Args:
        values: by value name.
        inputs: those of the network's inputs.
        text: half a sentence.
    """

    values: dict[str, ClippedGaussian]
    inputs: dict[str, ClippedGaussian]
    text: str

    def of(self, graph: Graph) -> Prediction:
        """The same for another form of the network, with the same inputs."""
        return Prediction(propagate(graph, self.inputs), self.inputs, self.text)


def predict(graph: Graph, input_range: InputRange = None) -> Prediction:
    """Moments of all values without data.

    Args:
        graph: in normal form, loaded by `intaglio.load`, which keeps what batch norm recorded.
        input_range: (low, high) of the inputs, or by input name; None: from the first batch norms.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is none.
    """
    inputs, text = input_normals(graph, input_range)
    values = propagate(graph, inputs)
    recorded = sum(name in values for name in graph.moments)
    told = f"{recorded} values as batch norm recorded them, " if recorded else "no batch norm, "
    return Prediction(values, inputs, f"{text}; {told}the others from weights")
