"""Give a network weights with sane statistics, as if it were trained.

Untrained networks are poor subjects: batch norms that saw no data, layer scales of 1e-6, branches whose last weights
are zero, activations that vanish or grow with depth. Here every product's result has a standard deviation near 1, every
batch norm knows its statistics, and no parameter is constant. Batch norms have positive biases, as random networks with
batch norm and ReLU otherwise amplify any noise by a factor of about 1.2 per layer, which trained ones do not.
Sources: Mishkin and Matas 2015, "All you need is a good init", arXiv:1511.06422; Yang et al. 2019, "A Mean Field Theory
of Batch Normalization", arXiv:1902.08129.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

_PRODUCTS = (nn.modules.conv._ConvNd, nn.Linear)
_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)


def settle(module: nn.Module, batch: Sequence[Tensor], seed: int) -> nn.Module:
    """Set all parameters and statistics from a seed and a batch of inputs; the module is returned in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    module.eval()
    with torch.no_grad():
        _vary_constants(module, generator)
        for layer in module.modules():
            if isinstance(layer, _BATCH_NORMS):
                layer.train()
                layer.reset_running_stats()
                layer.momentum = None  # the plain average of all batches
                if layer.affine:
                    layer.bias.copy_(0.5 + torch.rand(layer.bias.shape, generator=generator))  # see the file's head
        hooks = [m.register_forward_hook(_scale) for m in module.modules() if isinstance(m, _PRODUCTS)]
        module(*batch)
        for hook in hooks:
            hook.remove()
        for layer in module.modules():
            if isinstance(layer, _BATCH_NORMS):
                layer.reset_running_stats()
        module(*batch)
        for layer in module.modules():
            if isinstance(layer, _BATCH_NORMS):  # a channel that hardly varies here would be blown up elsewhere
                layer.running_var.clamp_(min=0.1 * float(layer.running_var.mean()))
    return module.eval()


def _vary_constants(module: nn.Module, generator: Generator) -> None:
    """Replace parameters whose elements are all equal (gains, biases, layer scales, zero weights) by random ones."""
    for parameter in module.parameters():
        if parameter.numel() < 2 or not parameter.is_floating_point():
            continue
        low, high = float(parameter.min()), float(parameter.max())
        if low != high:
            continue
        random = torch.rand(parameter.shape, generator=generator)
        if abs(low) == 1:
            parameter.copy_(low * (0.6 + 0.8 * random))  # gains of norms
        elif low == 0 and parameter.ndim > 1:
            parameter.copy_(random - 0.5)  # weights and positions; `_scale` sets the size of products
        elif abs(low) < 1e-2:
            parameter.copy_(0.4 * random - 0.2 if low == 0 else 0.2 + 0.4 * random)  # biases; layer scales


def _scale(layer: nn.Module, _: object, result: Tensor) -> Tensor | None:
    """Scale a product's weight such that its result has standard deviation 1; return what the network goes on with."""
    bias = getattr(layer, "bias", None)
    plain = result if bias is None else result - bias.reshape(-1, *[1] * (result.ndim - 2 if _conv(layer) else 0))
    spread = float(plain.std()) if plain.numel() > 1 else 0.0
    if not isinstance(layer.weight, nn.Parameter) or not 1e-8 < spread < 1e8:
        return None  # a parametrized weight, or nothing to scale
    layer.weight.div_(spread)
    return result + plain * (1 / spread - 1)


def _conv(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.conv._ConvNd)
