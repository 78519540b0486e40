"""Parameters that follow from others: int32 biases on the accumulators' own grid, and what that asks of the scales.

    scale_b[o] = scale_x * scale_w[o]        |b[o]| / scale_b[o] <= 2**30

Layers are taken in the order of the Graph. Where a bias would not fit int32, the scale of its weight is raised until it
does: the bias then dwarfs what the weight can add. The output's scale is raised where the requantization factor
`scale_x * scale_w / scale_y` would leave the range of a multiplier: steps far below the accumulator's carry nothing.
Scales with which results tie but for a hair are moved off it (`ties`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from intaglio.calibrate.parameters.adjust import channels_of, note, params_of, rescaled
from intaglio.calibrate.parameters.rounding_ties import leave_product_ties, leave_sum_ties
from intaglio.calibrate.parameters.weighted_layers import Scales, WeightedLayer, weighted_layers
from intaglio.errors import CalibrationError, UsageError
from intaglio.graph import Graph
from intaglio.number import INT32, PerChannel, PerTensor, QuantParams, Scheme
from intaglio.number.params import SMALLEST_SCALE
from intaglio.ops import float_operator
from intaglio.plan import Plan, Source, ValuePlan

LARGEST_BIAS = 2.0**30  # leaves the other half of an int32 accumulator to the products
_PRECISE_BIAS = 2.0**15  # codes that a bias alone has at least, where nothing else decides its step
_LARGEST_FACTOR = 2.0**30
_LARGEST_WIDE_FACTOR = 2.0**14  # accumulators of more than 32 bits have multipliers of 15
_FINE_FACTOR = 2.0**-12  # an accumulator's step this much below the output's is as good as exact


def derive(graph: Graph, plan: Plan, silent: frozenset[str] = frozenset()) -> None:
    """Set the parameters of biases, and adjust scales that they ask to be adjusted; each change is told in `why`.

    Args:
        graph: in normal form.
        plan: with parameters of every activation and weight; changed in place.
        silent: activations that were 0 throughout calibration. Any scale would do for them, so they get one that
            keeps the biases behind them precise.
    Raises:
        CalibrationError: naming the operator whose scales have no defined answer.
    """
    layers = list(weighted_layers(graph, plan, graph.nodes))
    for layer in layers:
        if layer.data.name in silent:
            _settle_silent(layer)
    leave_sum_ties(graph, plan)
    for layer in layers:
        _fit(layer, plan)


def derive_layers(graph: Graph, plan: Plan, nodes: Iterable[ir.Node]) -> bool:
    """What `derive` does, of a Plan that it has seen before, where only weights or biases of some layers have changed.

    Returns:
        Whether other scales than those of the biases had to change too, of any value.
    Raises:
        CalibrationError: see `derive`.
    """
    layers = list(weighted_layers(graph, plan, nodes))
    before = [(params_of(layer.weight), params_of(layer.output)) for layer in layers]
    for layer in layers:
        _fit(layer, plan)
    if before == [(params_of(layer.weight), params_of(layer.output)) for layer in layers]:
        return False
    derive(graph, plan)  # other layers read what these write
    return True


def _fit(layer: WeightedLayer, plan: Plan) -> None:
    if isinstance(params_of(layer.weight).granularity, (PerTensor, PerChannel)):
        _fit_weight(layer)
        _fit_output(layer, plan)
        leave_product_ties(layer.data, layer.weight, layer.output, layer.gain, layer.where)
    if layer.bias is not None:
        layer.bias.params = _bias_params(layer)


def _needed(layer: WeightedLayer, channels: int) -> Scales:
    """The largest |bias| of each of the weight's scales, (channels,); zeros without a bias."""
    if layer.offsets is None or not layer.offsets.size:
        return np.zeros(channels)
    sizes = np.abs(layer.offsets)
    if channels == 1 or sizes.size == 1:
        return np.full(channels, sizes.max())
    # A grouped ConvTranspose has fewer weight channels than outputs: output g * C + c has the scale of channel c.
    return np.asarray(sizes.reshape(-1, channels).max(axis=0))


def _fit_weight(layer: WeightedLayer) -> None:
    """Raise scales until biases fit; give dead channels one that keeps their bias precise."""
    params = params_of(layer.weight)
    blocks = params.granularity.blocks(layer.array)
    silent = ~blocks.any(axis=-1).reshape(-1)
    # Bipolar codes are never 0: with the smallest scale that the bias allows they are next to nothing.
    dead = silent & (not params.type.bipolar)
    scale = params.scale.astype(np.float64).reshape(-1)
    before = scale.copy()
    if dead.any() and not dead.all():
        scale[dead] = scale[~dead].max()
    bias, unit = _needed(layer, scale.size), float(params_of(layer.data).scale) * abs(layer.gain)
    if layer.offsets is not None:
        precise = np.maximum(bias / _PRECISE_BIAS, float(params_of(layer.output).scale) * _FINE_FACTOR) / unit
        scale = np.where(dead, _power_of_two(np.minimum(scale, precise), layer.weight, up=False), scale)
    least = np.maximum(bias / LARGEST_BIAS, 2 * SMALLEST_SCALE) / unit
    raised = _power_of_two(np.maximum(scale, least), layer.weight, up=True)
    changed = (raised > scale) & ~silent
    if changed.any():
        which = np.flatnonzero(changed)
        channels = "" if scale.size == 1 else f" of {channels_of(which)}"
        times = np.max(raised[changed] / scale[changed])
        if times > 1.05:  # a corrected bias moves a raised scale once more, by nothing worth a word
            note(layer.weight, f"scale{channels} raised up to {times:.3g} times so that the bias fits int32")
    if dead.any() and scale.size > 1:
        note(layer.weight, f"{channels_of(np.flatnonzero(dead))} all zero, with a scale that suits the bias")
    if (raised != before).any():
        layer.weight.params = rescaled(params, raised.reshape(params.scale.shape), layer.where, layer.weight.name)


def _fit_output(layer: WeightedLayer, plan: Plan) -> None:
    """Raise the output's scale until the requantization factor is one that a multiplier can hold."""
    x, w, y = params_of(layer.data), params_of(layer.weight), params_of(layer.output)
    terms = layer.array.size // max(w.scale.size, 1)
    reach = x.type.reach(int(x.zero_point)) * int(max(w.type.reach(int(z)) for z in w.zero_point.reshape(-1)))
    wide = plan.accumulator > 32 and terms * reach + LARGEST_BIAS >= 2.0**31
    limit = (_LARGEST_WIDE_FACTOR if wide else _LARGEST_FACTOR) / 2
    unit = float(x.scale) * float(w.scale.max()) * abs(layer.gain)
    if unit < float(y.scale) * limit:
        return
    if layer.output.source is not Source.OWN:
        raise CalibrationError(
            f"{layer.where} the requantization factor {unit / float(y.scale):.3g} is too large, and the scale of "
            f"{layer.output.name!r} is fixed; its weights or inputs are out of proportion"
        )
    scale = _power_of_two(np.asarray(unit / limit), layer.output, up=True)
    layer.output.params = rescaled(y, scale, layer.where, layer.output.name)
    times = float(scale) / float(y.scale)
    note(layer.output, f"scale raised {times:.3g} times: the steps of its sums are far larger")


def _settle_silent(layer: WeightedLayer) -> None:
    """Let the scale of an activation that is always 0 keep the bias behind it precise."""
    if layer.offsets is None or not layer.offsets.any():
        return
    x, w, y = params_of(layer.data), params_of(layer.weight), params_of(layer.output)
    unit = float(w.scale.max()) * abs(layer.gain)
    scale = max(float(np.abs(layer.offsets).max()) / _PRECISE_BIAS, float(y.scale) * _FINE_FACTOR) / unit
    if scale < float(x.scale):
        layer.data.params = rescaled(
            x, _power_of_two(np.asarray(scale), layer.data, up=False), layer.where, layer.data.name
        )
        note(layer.data, "its scale is one that suits the biases behind it")


def _bias_params(layer: WeightedLayer) -> QuantParams:
    """int32 on the grid of the accumulator."""
    assert layer.bias is not None and layer.offsets is not None
    w = params_of(layer.weight)
    contract = float_operator(layer.node).contract(layer.node)
    scale = w.scale.astype(np.float64)
    if not isinstance(w.granularity, (PerTensor, PerChannel)):
        # Groups have accumulators of their own: the bias joins behind them, on the finest grid of its channel.
        axis = contract.weight_axis or 0
        scale = np.moveaxis(scale, axis, 0).reshape(scale.shape[axis], -1).min(axis=1)
    scale = scale * float(params_of(layer.data).scale) * layer.gain
    count = layer.offsets.size
    if scale.ndim and count > scale.size:
        scale = np.tile(scale, count // scale.size)
    if not isinstance(w.granularity, (PerTensor, PerChannel)):
        scale = np.maximum(scale, np.maximum(np.abs(layer.offsets) / LARGEST_BIAS, 2 * SMALLEST_SCALE))
    granularity = PerChannel(layer.bias_rank - 1) if scale.ndim else PerTensor()
    try:
        return QuantParams(INT32, scale.astype(np.float32), granularity=granularity)
    except UsageError as error:
        raise CalibrationError(f"{layer.where} bias {layer.bias.name!r}: {error}") from None


def _power_of_two(scale: Scales, value: ValuePlan, *, up: bool) -> Scales:
    """The next power of two where the value's scheme asks for one."""
    if value.format is None or value.format.scheme is not Scheme.POWER_OF_TWO:
        return scale
    exponent = np.log2(scale)
    return np.asarray(np.exp2(np.ceil(exponent) if up else np.floor(exponent)))
