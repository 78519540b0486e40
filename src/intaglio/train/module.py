"""Network in training: a Graph whose weights are parameters and whose values are rounded by trainable quantizers.

Parameters and buffers keep the names of the original module: `layer1.0.conv1.weight`. Those of the quantizers are under
`quantizers.`, one quantizer for each weight and each activation with its own scale.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intaglio.errors import DataError
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.number.params import SMALLEST_SCALE
from intaglio.ops import Role
from intaglio.plan import Plan, Source
from intaglio.simulate import FakeQuantize, Simulator
from intaglio.simulate.by_sample import by_sample
from intaglio.simulate.lookup import bounded, finite_gradient
from intaglio.simulate.simulator import Observe, rounded_values
from intaglio.train.batch_norm import BatchNorm, along, folded_weight, unfolded_weight
from intaglio.train.estimators.grid import rounded_through
from intaglio.train.estimators.proxquant import ProxQuant
from intaglio.train.function_tables import TableFunction, table_functions
from intaglio.train.module_steps import ModuleStep, steps
from intaglio.train.quantizers.learned import Learned
from intaglio.train.quantizers.observed import MovingRange
from intaglio.train.quantizers.quantizer import Quantizer

Maker = Callable[..., Quantizer]
"""(format, shape of the quantization parameters, ties_up=...) -> Quantizer."""


class QuantizedModule(nn.Module):
    """Module returned by `prepare_qat`, for any training loop.

    Args:
        graph: the prepared network, batch norms folded.
        plan: Plan of this Graph; its parameters initialize the quantizers, others are initialized by the first data.
        placed: makes the Plan of the same network with other constants.
        parameters, buffers: tensors by original name; they replace the Graph's constants of that name.
        norms: trainable batch norms by output name.
        weights, activations: make the quantizers.
        momentum: momentum of the running statistics of batch norms.
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
        self._graph, self._plan, self.norms, self.momentum = graph, plan, dict(norms), momentum
        self.observe: Observe | None = None  # called with name and tensor of each computed value
        self.placed = placed
        self._simulator = Simulator(graph, None, "cpu")
        for name, tensor in parameters.items():
            _holder(self, name).register_parameter(_last(name), nn.Parameter(tensor))
        for name, tensor in buffers.items():
            _holder(self, name).register_buffer(_last(name), tensor)
        # Untrained constants (bounds, shapes, ...) by device; the CPU's are made before compiled code needs them.
        self._fixed_on: dict[torch.device, dict[str, Tensor]] = {torch.device("cpu"): self._simulator.constants}
        self.quantizers = nn.ModuleDict()
        self._weights = [
            str(value.name)
            for value in graph.initializers
            if str(value.name) in plan.values and plan[str(value.name)].role in (Role.WEIGHT, Role.SIDE)
        ]
        self._scaled = {norm.weight for norm in self.norms.values() if norm.weight}
        for name in self._weights:
            self._add_quantizer(name, shape(graph.value(name)), weights)
        self._key = {name: quantizer_key(plan.root(name).name) for name in plan.values}  # value -> key of its quantizer
        self._known: dict[str, FakeQuantize] = {}  # untrained quantizers, by the same keys
        self._rounds: dict[str, tuple[str, bool]] = {}  # rounded value -> key of its quantizer, whether ties go up
        for name, ties_up in rounded_values(graph, plan).items():
            root, key = plan.root(name), self._key[name]
            if root.source is Source.OWN:
                if key not in self.quantizers:
                    self._add_quantizer(root.name, (), activations, ties_up=ties_up)
            elif root.params is not None:
                self._known[key] = FakeQuantize(root.params, (), torch.device("cpu"), ties_up=ties_up)
            else:
                continue
            self._rounds[name] = key, ties_up
        self._shapes = self._simulator.single_shapes
        self._steps = steps(self._simulator.calls, plan, self.norms)
        self._functions = table_functions(graph, plan, set(parameters), {*self._known, *self.quantizers}, self._key)
        self.batch_norm_frozen = False
        for name in self._scaled:
            self.seen_weight(name)  # sets the unit of its scales before compiled code needs it

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
        """Prepared float network with the initial weights."""
        return self._graph

    @property
    def plan(self) -> Plan:
        """Plan of the network."""
        return self._plan

    def forward(self, *inputs: Tensor) -> Any:
        """Run on real inputs in the Graph's order; return one output, or a tuple if there are several."""
        outputs = self._forward(*inputs) if self._shapes is None else by_sample(self._forward, self._shapes, inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        simulator = self._simulator
        values = self._given(inputs[0].device)
        for name, x in zip(simulator.input_names, inputs, strict=True):
            values[name] = self._observed(name, self._rounded(name, x))
        sources: dict[str, tuple[TableFunction, Tensor]] = {}  # by result name after fused activations
        for step in self._steps:
            function = self._functions.get(step.name)
            if function is not None and not self.training:
                sources[function.result] = function, values[function.source]
            for name, result in step.call.named(self._run(step, values)):
                y = self._rounded(name, result)
                if name in sources:
                    y = self._from_table(*sources.pop(name), y)
                values[name] = self._observed(name, y)
            for name in step.call.done:
                values.pop(name, None)
        return tuple(values[name] for name in simulator.output_names)

    def _given(self, device: torch.device) -> dict[str, Tensor]:
        """Return constants, parameters and buffers by name; weights are rounded unless a batch norm scales them."""
        values = {**self._fixed(device), **dict(self.named_parameters()), **dict(self.named_buffers())}
        for name in self._weights:
            if name not in self._scaled:
                values[name] = self.quantizer(name)(values[name])
        return values

    def _fixed(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._fixed_on:
            self._fixed_on[device] = {name: x.to(device) for name, x in self._simulator.constants.items()}
        return self._fixed_on[device]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedModule:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        parameter = next(self.parameters(), None)
        if parameter is not None:
            self._fixed(parameter.device)
        return self

    def _rounded(self, name: str, x: Tensor) -> Tensor:
        if name in self._rounds:
            key, ties_up = self._rounds[name]
            x = self._known[key](x) if key in self._known else self.quantizers[key](x, ties_up)
        return x

    def _observed(self, name: str, x: Tensor) -> Tensor:
        if self.observe is not None:
            self.observe(name, x)
        return x

    def _from_table(self, function: TableFunction, x: Tensor, rounded: Tensor) -> Tensor:
        """Look up the function's result in the integer program's table, instead of the rounded real result."""
        constants = [self.get_parameter(name) for name in function.learned]
        return function.table(x, rounded, self._grid_now(function.source), self._grid_now(function.result), constants)

    def _grid_now(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the current scale and zero point of a computed value, one number each."""
        key = self._key[name]
        if key in self._known:
            fake, params = self._known[key], self._plan.params(name)
            assert params is not None, name
            return fake.scale, params.type.qmin - fake.low
        grid: tuple[Tensor, Tensor] = self.quantizers[key].grid(torch.zeros(()))  # type: ignore[operator]
        return grid

    def _run(self, step: ModuleStep, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        arguments = step.call.operands(values, {})
        if step.sign:  # the quantizer of the result takes the sign, with a gradient
            assert arguments[0] is not None
            return (arguments[0],)
        if step.norm is not None:
            y, *others = (self._normalized(step, step.norm, values),)
        else:
            if step.biased and arguments[2] is not None:
                arguments[2] = self._rounded_bias(step, arguments[2])
            if step.has_poles:
                arguments = [None if x is None else finite_gradient(x) for x in arguments]
            if step.domain is not None and arguments[0] is not None:
                arguments[0] = arguments[0].clamp(*step.domain)
            y, *others = step.call.real(*arguments)
            y = bounded(y) if step.has_poles else y
        if step.summed and not self.training:
            y = self._whole_sums(step, y)
        return (y, *others)

    def _step_size(self, step: ModuleStep) -> Tensor | None:
        """Return the current scale of products, () or (channels,), without a gradient; None if undefined."""
        data, weight = map(self._scale, step.factors)
        return None if data is None or weight is None else data * weight

    def _scale(self, name: str) -> Tensor | None:
        key = self._key.get(name, "")
        if key in self._known:
            return self._known[key].scale
        if key not in self.quantizers:
            return None
        scale = self.quantizers[key].scale_now()  # type: ignore[operator]
        return scale if scale.ndim <= 1 else None

    def _whole_sums(self, step: ModuleStep, y: Tensor) -> Tensor:
        """Round sums to whole accumulators before their sign is taken: a float sum of 0 may be slightly negative."""
        size = self._step_size(step)
        if size is None:
            return y
        if size.ndim:
            size = size.reshape([-1 if axis == step.channels % y.ndim else 1 for axis in range(y.ndim)])
        return (y / size).round() * size

    def _rounded_bias(self, step: ModuleStep, bias: Tensor) -> Tensor:
        """Round a bias to the accumulator's scale, scale_x * scale_w."""
        size = self._step_size(step)
        return bias if size is None else rounded_through(bias / size) * size

    def _normalized(self, step: ModuleStep, norm: BatchNorm, values: Mapping[str, Tensor]) -> Tensor:
        """Compute a batch norm together with the product before it, if there is one (see `batch_norm`)."""
        if not norm.weight:
            x, *constants = step.call.operands(values, {})
            assert x is not None
            frozen = not self.training or self.batch_norm_frozen
            return step.call.real(x, *constants)[0] if frozen else self._by_batch(step, norm, x, values)
        x, weight, gamma, beta = (values[name] for name in (step.factors[0], norm.weight, norm.gamma, norm.beta))
        mean, variance = values[norm.mean], values[norm.variance]
        factor = gamma / torch.sqrt(variance + norm.epsilon)
        offset = values[norm.bias] if norm.bias else torch.zeros_like(beta)
        quantizer = self.quantizer(norm.weight)
        if not self.training or self.batch_norm_frozen:
            rounded = folded_weight(quantizer, weight, factor, norm.axis)
            return step.call.real(x, rounded, self._rounded_bias(step, beta + (offset - mean) * factor))[0]
        y = step.call.real(x, unfolded_weight(quantizer, weight, factor, norm.axis), offset if norm.bias else None)[0]
        return self._by_batch(step, norm, y, values)

    def _by_batch(self, step: ModuleStep, norm: BatchNorm, y: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """Normalize with batch statistics and update the running statistics."""
        gamma, beta, mean, variance = (values[name] for name in (norm.gamma, norm.beta, norm.mean, norm.variance))
        if y.numel() // y.shape[1] < 2:
            raise DataError(
                f"{step.title} batch norm in training: expected more than 1 value per channel, got shape "
                f"{tuple(y.shape)}; give larger batches, or freeze batch norm (freeze_batch_norm())"
            )
        mean, variance = (
            mean.clone(),
            variance.clone(),
        )  # the backward pass needs the old values, from which `factor` comes
        y = torch.nn.functional.batch_norm(
            y, mean, variance, gamma, beta, training=True, momentum=self.momentum, eps=norm.epsilon
        )
        for name, buffer in ((norm.mean, mean), (norm.variance, variance)):
            setattr(_holder(self, name), _last(name), buffer)
        return y

    def __deepcopy__(self, memo: dict[int, Any]) -> QuantizedModule:
        """Copy parameters and quantizers; share the Graph and the Plan, which are never changed."""
        memo.update({id(shared): shared for shared in (self._graph, self._plan, self._simulator, self._steps)})
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return made

    def quantizer(self, name: str) -> Quantizer:
        """Return the quantizer of a value with its own scale."""
        found = self.quantizers[quantizer_key(name)]
        assert isinstance(found, Quantizer)
        return found

    @property
    def narrowest(self) -> int:
        """Bits of the narrowest format of a weight or activation; 8 without quantizers."""
        return min((quantizer.format.type.bits for quantizer in self._quantizers()), default=8)

    def weight_names(self) -> tuple[str, ...]:
        """Return the names of constants with their own quantizers, in the order of the Graph."""
        return tuple(self._weights)

    def seen_weight(self, name: str) -> tuple[Tensor, Tensor]:
        """Return a weight as its quantizer sees it, and its factor: that of a trainable batch norm, otherwise 1.

        Neither has a gradient.
        """
        weight = self.get_parameter(name).detach()
        norm = next((norm for norm in self.norms.values() if norm.weight == name), None)
        if norm is None:
            return weight, weight.new_ones(())
        gamma, variance = self.get_parameter(norm.gamma).detach(), self.get_buffer(norm.variance)
        factor = gamma / torch.sqrt(variance + norm.epsilon)
        self.quantizer(name).measured_in(factor.abs())
        factor = along(factor, weight, norm.axis)
        return weight * factor, factor

    def after_step(self, progress: float) -> None:
        """Apply the proximal step of `ProxQuant` after an optimizer step; does nothing for other estimators.

        Args:
            progress: fraction of the training that is done, 0 to 1.
        """
        for name in self._weights:
            quantizer = self.quantizer(name)
            if isinstance(quantizer.estimator, ProxQuant) and bool(quantizer.begun):
                with torch.no_grad():
                    weight, factor = self.seen_weight(name)
                    pulled = quantizer.estimator.pulled(weight, quantizer.spread_grid(weight), progress)
                    dead = factor.abs() < SMALLEST_SCALE
                    self.get_parameter(name).copy_(torch.where(dead, self.get_parameter(name), pulled / factor))

    def penalty(self) -> Tensor:
        """Return what quantizers add to the loss (see `Pact`), a scalar; 0 if nothing."""
        parts = [part for q in self._quantizers() if (part := q.penalty()) is not None]
        return torch.stack(parts).sum() if parts else torch.zeros((), device=next(self.parameters()).device)

    def check_scales(self) -> list[str]:
        """Return the values whose scale is NaN or infinite, or has collapsed to zero.

        Synchronizes once with the device: cheap enough for every few steps.
        """
        if not self.quantizers:
            return []
        bad = torch.stack([quantizer.collapsed() for quantizer in self._quantizers()]).tolist()
        names = {quantizer_key(name): name for name in self.plan.values}
        return [names[key] for key, has in zip(self.quantizers, bad, strict=True) if has]

    def _quantizers(self) -> Iterator[Quantizer]:
        for quantizer in self.quantizers.values():
            assert isinstance(quantizer, Quantizer)
            yield quantizer

    def pace(self, magnitudes: Mapping[str, float]) -> None:
        """Set step-size factors of learned scales by value name (see `lr_scaling.magnitudes`); default 1."""
        sizes = {quantizer_key(name): size for name, size in magnitudes.items()}
        for key, quantizer in self.quantizers.items():
            if isinstance(quantizer, Learned):
                quantizer.magnitude = sizes.get(key, 1.0)

    def freeze_batch_norm(self) -> None:
        """Use the running statistics of batch norms from now on, also in training."""
        self.batch_norm_frozen = True

    def freeze_ranges(self) -> None:
        """Fix observed ranges from now on; learned scales are still trained."""
        for quantizer in self.quantizers.modules():
            if isinstance(quantizer, MovingRange):
                quantizer.observes = False


def quantizer_key(name: str) -> str:
    """Convert a value's name to a key of `nn.ModuleDict`, which forbids dots."""
    return name.replace(".", "/")


def _holder(module: nn.Module, name: str) -> nn.Module:
    """Return the submodule that holds a dotted name, creating it if needed."""
    for part in name.split(".")[:-1]:
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module._modules[part]  # type: ignore[assignment]
    return module


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
