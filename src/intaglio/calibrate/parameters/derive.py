"""Derive the parameters of biases, int32 on the accumulators' grid, and adjust scales that do not fit.

    scale_b[o] = scale_x * scale_w[o]        |b[o]| / scale_b[o] <= 2**30

Layers are taken in the order of the Graph. Where a bias would not fit int32, the scale of its weight is raised until it
does: such a bias is far larger than what the weight adds. The output's scale is raised where the requantization factor
`scale_x * scale_w / scale_y` would leave the range of a multiplier: output steps far finer than the accumulator's carry
no information. Scales that cause rounding ties are nudged (see `rounding_ties`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from intaglio.calibrate.parameters.adjust import channel_list, note, params_of, rescaled
from intaglio.calibrate.parameters.rounding_ties import avoid_product_ties, avoid_sum_ties
from intaglio.calibrate.parameters.weighted_layers import Scales, WeightedLayer, weighted_layers
from intaglio.errors import CalibrationError, UsageError
from intaglio.graph import Graph
from intaglio.number import INT32, PerChannel, PerTensor, QuantParams, Scheme
from intaglio.number.params import SMALLEST_SCALE
from intaglio.ops import float_operator
from intaglio.plan import Plan, Source, ValuePlan
from intaglio.plan.accumulator_grid import accumulator_scale

LARGEST_BIAS = 2.0**30  # leaves the other half of an int32 accumulator to the products
_PRECISE_BIAS = 2.0**15  # least number of codes of a bias whose step is free, as the weight or the data are all zero
_LARGEST_FACTOR = 2.0**30
_LARGEST_WIDE_FACTOR = 2.0**14  # accumulators wider than 32 bits are multiplied by 15 bits
_FINE_FACTOR = 2.0**-12  # an accumulator step this much finer than the output's counts as exact


def derive(graph: Graph, plan: Plan, silent: frozenset[str] = frozenset()) -> None:
    """Set the parameters of biases and adjust scales that do not fit; each change is noted in `why`.

    Args:
        graph: in normal form.
        plan: with parameters of every activation and weight; changed in place.
        silent: activations that were 0 throughout calibration. Any scale represents them, so they get one that
            keeps the biases of the layers that read them precise.
    Raises:
        CalibrationError: a scale has to be adjusted but is fixed, or would leave float32; names the operator.
    """
    layers = list(weighted_layers(plan, graph.nodes))
    for layer in layers:
        if layer.data.name in silent:
            _settle_silent(layer)
    avoid_sum_ties(graph, plan)
    for layer in layers:
        _fit(layer, plan)


def derive_layers(graph: Graph, plan: Plan, nodes: Iterable[ir.Node]) -> bool:
    """Derive parameters anew after the weights or biases of some layers have changed.

    Args:
        graph: in normal form.
        plan: one that `derive` has set before; changed in place.
        nodes: the layers whose weights or biases have changed.
    Returns:
        Whether any scale other than those of biases changed.
    Raises:
        CalibrationError: see `derive`.
    """
    layers = list(weighted_layers(plan, nodes))
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
        avoid_product_ties(layer.data, layer.weight, layer.output, layer.gain, layer.where)
    if layer.bias is not None:
        layer.bias.params = _bias_params(layer)


def _largest_biases(layer: WeightedLayer, channels: int) -> Scales:
    """Find the largest |bias| that shares each of the weight's scales, (channels,); zeros without a bias."""
    if layer.offsets is None or not layer.offsets.size:
        return np.zeros(channels)
    sizes = np.abs(layer.offsets)
    if channels == 1 or sizes.size == 1:
        return np.full(channels, sizes.max())
    # A grouped ConvTranspose has fewer weight channels than outputs: output g * C + c has the scale of channel c.
    return np.asarray(sizes.reshape(-1, channels).max(axis=0))


def _fit_weight(layer: WeightedLayer) -> None:
    """Raise weight scales until biases fit int32; give all-zero channels one that keeps their bias precise."""
    params = params_of(layer.weight)
    blocks = params.granularity.blocks(layer.array)
    silent = ~blocks.any(axis=-1).reshape(-1)
    # Bipolar codes have no 0: all-zero weights get the smallest scale that the bias allows, to be negligible.
    dead = silent & (not params.type.bipolar)
    scale = params.scale.astype(np.float64).reshape(-1)
    before = scale.copy()
    if dead.any() and not dead.all():
        scale[dead] = scale[~dead].max()
    bias, unit = _largest_biases(layer, scale.size), float(params_of(layer.data).scale) * abs(layer.gain)
    if layer.offsets is not None:
        precise = np.maximum(bias / _PRECISE_BIAS, float(params_of(layer.output).scale) * _FINE_FACTOR) / unit
        scale = np.where(dead, _power_of_two(np.minimum(scale, precise), layer.weight, up=False), scale)
    least = np.maximum(bias / LARGEST_BIAS, 2 * SMALLEST_SCALE) / unit
    raised = _power_of_two(np.maximum(scale, least), layer.weight, up=True)
    changed = (raised > scale) & ~silent
    if changed.any():
        which = np.flatnonzero(changed)
        channels = "" if scale.size == 1 else f" of {channel_list(which)}"
        times = np.max(raised[changed] / scale[changed])
        if times > 1.05:  # bias correction moves a raised scale again, slightly: not worth a note
            note(layer.weight, f"scale{channels} raised up to {times:.3g} times so that the bias fits int32")
    if dead.any() and scale.size > 1:
        note(layer.weight, f"{channel_list(np.flatnonzero(dead))} all zero, with a scale that suits the bias")
    if (raised != before).any():
        layer.weight.params = rescaled(params, raised.reshape(params.scale.shape), layer.where, layer.weight.name)


def _fit_output(layer: WeightedLayer, plan: Plan) -> None:
    """Raise the output's scale until a multiplier can hold the requantization factor."""
    x, w, y = params_of(layer.data), params_of(layer.weight), params_of(layer.output)
    terms = layer.array.size // max(w.scale.size, 1)
    reach = x.type.max_abs_offset(int(x.zero_point)) * int(
        max(w.type.max_abs_offset(int(z)) for z in w.zero_point.reshape(-1))
    )
    wide = plan.accumulator > 32 and terms * reach + LARGEST_BIAS >= 2.0**31
    limit = (_LARGEST_WIDE_FACTOR if wide else _LARGEST_FACTOR) / 2
    unit = float(x.scale) * float(w.scale.max()) * abs(layer.gain)
    if unit < float(y.scale) * limit:
        return
    if layer.output.source is not Source.OWN:
        raise CalibrationError(
            f"{layer.where} expected a requantization factor below {limit:.3g}, got {unit / float(y.scale):.3g}, and "
            f"the scale of {layer.output.name!r} is fixed; scale the weights or inputs of this layer down"
        )
    scale = _power_of_two(np.asarray(unit / limit), layer.output, up=True)
    layer.output.params = rescaled(y, scale, layer.where, layer.output.name)
    times = float(scale) / float(y.scale)
    note(layer.output, f"scale raised {times:.3g} times: the steps of its sums are far larger")


def _settle_silent(layer: WeightedLayer) -> None:
    """Lower the scale of an activation that is always 0 until the layer's bias is precise."""
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
    """Put the bias on the grid of the accumulator, int32."""
    assert layer.bias is not None and layer.offsets is not None
    w = params_of(layer.weight)
    contract = float_operator(layer.node).contract(layer.node)
    scale = w.scale.astype(np.float64)
    if not isinstance(w.granularity, (PerTensor, PerChannel)):
        # Each group has an accumulator of its own: the bias is added after them, on the finest grid of its channel.
        axis = contract.weight_axis or 0
        scale = np.moveaxis(scale, axis, 0).reshape(scale.shape[axis], -1).min(axis=1)
    scale = accumulator_scale(params_of(layer.data), scale, layer.offsets.size, layer.gain)
    if not isinstance(w.granularity, (PerTensor, PerChannel)):
        scale = np.maximum(scale, np.maximum(np.abs(layer.offsets) / LARGEST_BIAS, 2 * SMALLEST_SCALE))
    granularity = PerChannel(layer.bias_rank - 1) if scale.ndim else PerTensor()
    try:
        return QuantParams(INT32, scale.astype(np.float32), granularity=granularity)
    except UsageError as error:
        raise CalibrationError(f"{layer.where} bias {layer.bias.name!r}: {error}") from None


def _power_of_two(scale: Scales, value: ValuePlan, *, up: bool) -> Scales:
    """Round a scale to the next power of two where the value's scheme asks for one."""
    if value.format is None or value.format.scheme is not Scheme.POWER_OF_TWO:
        return scale
    exponent = np.log2(scale)
    return np.asarray(np.exp2(np.ceil(exponent) if up else np.floor(exponent)))
