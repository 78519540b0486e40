"""Propagate mean and spread through a Graph, from those of its inputs and from what batch norm recorded.

Where batch norm recorded the moments of a value, they replace what the layers before it predict. Where it recorded the
mean alone, the spread is the one that best explains the recorded means behind the next layer.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2.1 and appendix C; spreads from means: ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.data_free.channel_moments import channel_axis, corrected
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.correlation import FEATURES, IMAGE
from intaglio.calibrate.data_free.moment_rules import CLAMPS, MOVEMENTS, Operands, clamped, result_moments, run_on
from intaglio.graph import Graph
from intaglio.graph.access import constant, consumers, shape, single_consumer
from intaglio.graph.operators import facts
from intaglio.progress import progress

LAYER_FACTORS = tuple(float(f) for f in np.exp2(np.arange(-2, 5) / 4))
"""Factors tried on a predicted spread. Too narrow a range costs more than one that is too wide."""
INPUT_FACTORS = tuple(float(f) for f in np.exp2(np.arange(-32, 41) / 4))
"""The same for the spread of an input, of which nothing is known beforehand."""


def propagate(graph: Graph, inputs: Mapping[str, ClippedGaussian]) -> dict[str, ClippedGaussian]:
    """Predict the moments of every computed value of a Graph.

    Args:
        graph: in normal form.
        inputs: distributions of the network's inputs by name, in the Graph's shapes.
    Returns:
        Distributions by value name, those of the inputs included.
    """
    rules = MomentPropagation(graph)
    known = dict(inputs)
    nodes = graph.nodes
    with torch.no_grad():
        for node in progress(nodes, len(nodes), "moments"):
            for output, result in zip(node.outputs, rules.results(node, known), strict=False):
                if output.name:
                    known[str(output.name)] = rules.recorded(output, result)
    return known


class MomentPropagation:
    """Applies the rules of `moment_rules` to the nodes of a Graph, and corrects the results by recorded moments.

    Its constants are kept in float64.
    """

    def __init__(self, graph: Graph) -> None:
        self.moments = graph.moments
        self.constants: dict[str, Tensor] = {}
        for value in graph.initializers:
            array = constant(value)
            assert array is not None
            tensor = torch.as_tensor(np.array(array))
            self.constants[str(value.name)] = tensor.double() if tensor.is_floating_point() else tensor
        self.images = {str(v.name) for v in graph.inputs if len(shape(v)) > 2}

    def operands(self, node: ir.Node, known: Mapping[str, ClippedGaussian]) -> Operands:
        """Collect what a node reads: constants as tensors, `known` distributions of computed values."""
        return [None if v is None else self.constants.get(str(v.name), known.get(str(v.name))) for v in node.inputs]

    def results(self, node: ir.Node, known: Mapping[str, ClippedGaussian]) -> tuple[ClippedGaussian, ...]:
        """Predict the distributions of a node's results; those of an input image get their own correlations."""
        source = node.inputs[0] if node.inputs else None
        of_image = source is not None and source.name in self.images
        if of_image and node.op_type in MOVEMENTS:
            self.images.update(str(v.name) for v in node.outputs)
        return result_moments(node, self.operands(node, known), IMAGE if of_image else FEATURES)

    def recorded(
        self, value: ir.Value, predicted: ClippedGaussian, factors: Sequence[float] = LAYER_FACTORS
    ) -> ClippedGaussian:
        """Correct a prediction by what batch norm recorded of the value; `factors`: see `spread_factor`."""
        moments = self.moments.get(str(value.name))
        if moments is None:
            return predicted
        found = corrected(predicted, moments)
        factor = self.spread_factor(value, found, factors) if np.isnan(moments.std).any() else None
        return found if factor is None else ClippedGaussian(found.mean, found.std * factor, found.low, found.high)

    def spread_factor(self, value: ir.Value, found: ClippedGaussian, factors: Sequence[float]) -> float | None:
        """Find the factor on a predicted spread that best explains the recorded means behind the next layer.

        Args:
            value: the value with the spread.
            found: its distribution, with the recorded mean.
            factors: the candidates.
        Returns:
            None where no clamp and recorded layer follow.
        """
        clamps = []
        while (clamp := single_consumer(value)) is not None and clamp.op_type in CLAMPS:
            clamps.append(clamp)
            value = clamp.outputs[0]
        readers = [node for node in consumers(value) if facts(node.op_type).product and node.inputs[0] is value]
        layer = next((node for node in readers if str(node.outputs[0].name) in self.moments), None)
        if layer is None or not clamps:  # without a clamp the next mean does not depend on the spread
            return None
        wanted, operands = self.moments[str(layer.outputs[0].name)], self.operands(layer, {})
        axis = channel_axis(torch.empty(shape(layer.outputs[0])), len(wanted.mean))
        if axis is None or not isinstance(operands[1], Tensor):
            return None
        rest = [k for k in range(len(shape(layer.outputs[0]))) if k != axis]
        size = run_on(layer, [found.std, operands[1].abs()], lambda x: x.mean)[0].mean(rest).clamp_min(1e-300)
        errors = []
        for factor in factors:
            x = ClippedGaussian(found.mean, found.std * factor, found.low, found.high)
            for clamp in clamps:
                x = clamped(clamp, [x if v is None else v for v in self.operands(clamp, {})])
            (y,) = run_on(layer, [x.moments()[0], *operands[1:]], lambda x: x.mean)
            off = ((y.mean(rest) - torch.as_tensor(wanted.mean)) / size).abs()
            errors.append((off + 1e-3).log().mean())  # log: channels that no factor explains must not decide
        return factors[int(torch.stack(errors).argmin())]
