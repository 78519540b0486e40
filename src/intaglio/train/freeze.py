"""Freeze a trained module to Graph and Plan."""

from __future__ import annotations

import numpy as np
import torch

from intaglio.calibrate.parameters.derive import derive
from intaglio.graph import Graph
from intaglio.graph.access import input_value
from intaglio.graph.edit import add_constant, set_constant
from intaglio.plan import Plan
from intaglio.train.batch_norm import along
from intaglio.train.module import QuantizedModule, quantizer_key


def freeze_graph(module: QuantizedModule) -> tuple[Graph, Plan]:
    """Convert a trained module to a Graph with folded batch norms and a Plan with the learned parameters.

    Args:
        module: module from `prepare_qat`, trained or not; not modified.
    Returns:
        (graph, plan), independent of the module.
    Raises:
        UsageError: a scale has collapsed, or was never initialized.
        CalibrationError: a scale cannot be derived.
    """
    graph = module.graph.copy()
    values = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    for node in graph.nodes:
        norm = module.norms.get(str(node.outputs[0].name))
        if norm is None or not norm.weight:
            continue
        factor = values[norm.gamma] / torch.sqrt(values[norm.variance] + norm.epsilon)
        module.quantizer(norm.weight).measured_in(factor.abs().to(module.quantizer(norm.weight).begun.device))
        weight = values[norm.weight]
        values[norm.weight] = weight * along(factor, weight, norm.axis)
        offset = values[norm.bias] if norm.bias else torch.zeros_like(factor)
        bias = (values[norm.beta] + (offset - values[norm.mean]) * factor).numpy()
        old = input_value(node, 2)
        if old is None:
            node.resize_inputs(3)
            node.replace_input_with(2, add_constant(graph.model.graph, f"{norm.weight}_bias", bias))
        else:
            values[str(old.name)] = torch.as_tensor(bias)
    for name in module.weight_names():
        quantizer = module.quantizer(name)
        values[name] = quantizer.frozen(values[name].to(quantizer.begun.device)).cpu()
    for value in graph.initializers:
        if str(value.name) in values:
            set_constant(value, np.asarray(values[str(value.name)], np.float32))
    plan = module.placed(graph)
    for name, planned in plan.values.items():
        if quantizer_key(name) in module.quantizers:
            quantizer = module.quantizer(name)
            planned.params = quantizer.named_params(name)
            planned.calibrator = None
            planned.why += "; scale and zero point learned in training"
    derive(graph, plan)
    return graph, plan
