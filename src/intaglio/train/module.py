"""A network in training: a Graph whose weights are parameters, its values rounded by quantizers that learn.

Parameters and buffers have the names that they have in the original module: `layer1.0.conv1.weight`. Those of the
quantizers stand beside them under `quantizers.`, one for each weight and each activation that has a grid of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from intaglio.errors import DataError
from intaglio.graph import Graph
from intaglio.graph.access import attribute, shape
from intaglio.number.params import SMALLEST_SCALE
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan, Source
from intaglio.simulate import FakeQuantize, Simulator
from intaglio.simulate.simulator import rounded_values
from intaglio.train.batch_norm import BatchNorm
from intaglio.train.estimators import straight_through
from intaglio.train.quantizer import MovingRange, Quantizer

Maker = Callable[..., Quantizer]
"""(format, shape of the parameters, ties_up=...) -> Quantizer."""


class QuantizedModule(nn.Module):
    """What `prepare_qat` returns; any training loop takes it.

    Args:
        graph: the prepared network, batch norm folded.
        plan: of this Graph; where it has parameters the quantizers begin with them, else with what they see first.
        placed: makes the Plan of the same network with other constants.
        parameters, buffers: by original names; they replace the Graph's constants of that name.
        norms: batch norms that live, by the name of the value behind each.
        weights, activations: make the quantizers.
        momentum: of the running statistics of batch norms.
    """

    quantizers: nn.ModuleDict

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        placed: Callable[[Graph], Plan],
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        norms: Mapping[str, BatchNorm],
        weights: Maker,
        activations: Maker,
        *,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self._graph, self._plan, self.norms, self._momentum = graph, plan, dict(norms), momentum
        self.placed = placed
        self._simulator = Simulator(graph, None, "cpu")
        for name, tensor in parameters.items():
            _holder(self, name).register_parameter(_last(name), nn.Parameter(tensor))
        for name, tensor in buffers.items():
            _holder(self, name).register_buffer(_last(name), tensor)
        self._fixed_on: dict[torch.device, dict[str, Tensor]] = {}  # bounds, shapes and the like, by device
        self.quantizers = nn.ModuleDict()
        self._weights = [
            str(value.name)
            for value in graph.initializers
            if str(value.name) in plan.values and plan[str(value.name)].role in (Role.WEIGHT, Role.SIDE)
        ]
        self._scaled = {norm.weight for norm in self.norms.values()}
        for name in self._weights:
            self._add_quantizer(name, shape(graph.value(name)), weights)
        self._biased = {str(node.name) for node in graph.nodes if _adds_bias(node)}
        self._grid_of: dict[str, str] = {}  # rounded value -> key of its quantizer
        self._known: dict[str, FakeQuantize] = {}  # rounded values whose grid is fixed
        for name, ties_up in rounded_values(graph, plan).items():
            root = plan.root(name)
            if root.source is Source.OWN:
                self._grid_of[name] = quantizer_key(root.name)
                if quantizer_key(root.name) not in self.quantizers:
                    self._add_quantizer(root.name, (), activations, ties_up=ties_up)
            elif root.params is not None:
                self._known[name] = FakeQuantize(root.params, (), torch.device("cpu"), ties_up=ties_up)
        self.batch_norm_frozen = False

    def _add_quantizer(self, name: str, size: tuple[int, ...], make: Maker, *, ties_up: bool = False) -> None:
        planned = self._plan[name]
        assert planned.format is not None, name
        wanted = planned.format.granularity.param_shape(size) if size else ()
        made = make(planned.format, wanted, ties_up=ties_up)
        if planned.params is not None:
            made.begin_at(planned.params)
        self.quantizers[quantizer_key(name)] = made

    @property
    def graph(self) -> Graph:
        """The prepared float network with the weights that training began with."""
        return self._graph

    @property
    def plan(self) -> Plan:
        """How each value is represented."""
        return self._plan

    def forward(self, *inputs: Tensor) -> Any:
        """Real inputs in the Graph's order to one output, or a tuple of them."""
        simulator = self._simulator
        values = self._given(inputs[0].device)
        for name, x in zip(simulator.input_names, inputs, strict=True):
            values[name] = self._rounded(name, x)
        for node, done in zip(simulator.nodes, simulator.last_use, strict=True):
            results = self._run(node, values)
            for output, result in zip(node.outputs, results, strict=False):
                if output.name:
                    values[str(output.name)] = self._rounded(str(output.name), result)
            for name in done:
                values.pop(name, None)
        outputs = tuple(values[name] for name in simulator.output_names)
        return outputs[0] if len(outputs) == 1 else outputs

    def _given(self, device: torch.device) -> dict[str, Tensor]:
        """Every constant, parameter and buffer by name; weights rounded, unless a batch norm scales them first."""
        if device not in self._fixed_on:
            self._fixed_on[device] = {name: x.to(device) for name, x in self._simulator.constants.items()}
        values = {**self._fixed_on[device], **dict(self.named_parameters()), **dict(self.named_buffers())}
        for name in self._weights:
            if name not in self._scaled:
                values[name] = self.quantizer(name)(values[name])
        return values

    def _rounded(self, name: str, x: Tensor) -> Tensor:
        if name in self._grid_of:
            return self.quantizers[self._grid_of[name]](x)  # type: ignore[no-any-return]
        return self._known[name](x) if name in self._known else x

    def _run(self, node: ir.Node, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        norm = self.norms.get(str(node.outputs[0].name))
        if norm is not None:
            return (self._normalized(node, norm, values),)
        arguments = [None if v is None else values[str(v.name)] for v in node.inputs]
        if str(node.name) in self._biased and arguments[2] is not None:
            arguments[2] = self._rounded_bias(node, arguments[2])
        results = float_operator(node).real(node, *arguments)
        return results if isinstance(results, tuple) else (results,)

    def _rounded_bias(self, node: ir.Node, bias: Tensor) -> Tensor:
        """A bias on the accumulator's grid, scale_x * scale_w."""
        data, weight = (self._scale(str(v.name)) for v in node.inputs[:2] if v is not None)
        if data is None or weight is None:
            return bias
        step = data * weight
        return straight_through(bias / step) * step

    def _scale(self, name: str) -> Tensor | None:
        """The scale of a value as it is now, () or (channels,), without a gradient; None where it has no one scale."""
        planned = self.plan.root(name)
        key = quantizer_key(planned.name)
        if key in self.quantizers:
            scale = self.quantizer(planned.name).scale_now()
            return scale if scale.ndim <= 1 else None
        return None if planned.params is None else torch.as_tensor(planned.params.scale.copy())

    def _normalized(self, node: ir.Node, norm: BatchNorm, values: Mapping[str, Tensor]) -> Tensor:
        """A product and the batch norm behind it (see `batch_norm`)."""
        x, weight, gamma, beta = (values[n] for n in (str(node.inputs[0].name), norm.weight, norm.gamma, norm.beta))  # type: ignore[union-attr]
        mean, variance = values[norm.mean], values[norm.variance]
        factor = gamma / torch.sqrt(variance + norm.epsilon)
        offset = values[norm.bias] if norm.bias else torch.zeros_like(beta)
        along = (-1, *(1,) * (weight.ndim - 1))  # output channels are the weight's axis 0
        rounded = self.quantizer(norm.weight)(weight * factor.reshape(along))
        if not self.training or self.batch_norm_frozen:
            bias = self._rounded_bias(node, beta + (offset - mean) * factor)
            return _one(float_operator(node).real(node, x, rounded, bias))
        y = _one(float_operator(node).real(node, x, rounded, None))
        if y.numel() // y.shape[1] < 2:
            raise DataError(
                f"[{node.op_type} {node.name!r}] batch norm in training: expected more than 1 value per channel, got "
                f"shape {tuple(y.shape)}; give larger batches, or freeze batch norm (freeze_batch_norm())"
            )
        shape = (1, -1, *(1,) * (y.ndim - 2))
        whole = torch.where(factor.abs() < SMALLEST_SCALE, torch.ones_like(factor), factor)
        y = y / whole.reshape(shape) + offset.reshape(shape)
        mean, variance = mean.clone(), variance.clone()  # the backward pass still needs what `factor` was made of
        y = torch.nn.functional.batch_norm(
            y, mean, variance, gamma, beta, training=True, momentum=self._momentum, eps=norm.epsilon
        )
        for name, buffer in ((norm.mean, mean), (norm.variance, variance)):
            setattr(_holder(self, name), _last(name), buffer)
        return y

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantizedModule:
        """Parameters and quantizers of its own; the Graph and the Plan, which nobody changes, are shared."""
        memo.update({id(shared): shared for shared in (self._graph, self._plan, self._simulator)})
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return made

    def quantizer(self, name: str) -> Quantizer:
        """The quantizer of a value that has a grid of its own."""
        found = self.quantizers[quantizer_key(name)]
        assert isinstance(found, Quantizer)
        return found

    def freeze_batch_norm(self) -> None:
        """From now on batch norms use their running statistics, in training too."""
        self.batch_norm_frozen = True

    def freeze_ranges(self) -> None:
        """From now on observed ranges stay; learned ones go on learning."""
        for quantizer in self.quantizers.modules():
            if isinstance(quantizer, MovingRange):
                quantizer.observes = False


def _adds_bias(node: ir.Node) -> bool:
    """Whether a node adds a constant bias to its products as it is, without a factor."""
    contract = float_operator(node).contract(node)
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
    return plain and len(contract.roles) > 2 and contract.roles[2] is Role.BIAS


def _one(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    assert isinstance(result, Tensor)
    return result


def quantizer_key(name: str) -> str:
    """A value's name as a name of `nn.ModuleDict`, which takes no dots."""
    return name.replace(".", "/")


def _holder(module: nn.Module, name: str) -> nn.Module:
    """The module that a dotted name's last part belongs to; made where there is none."""
    for part in name.split(".")[:-1]:
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module._modules[part]  # type: ignore[assignment]
    return module


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
