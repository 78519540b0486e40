"""Names: what other tools append to the names of quantized tensors goes."""

from __future__ import annotations

_ENDINGS = (
    "_QuantizeLinear_Output",
    "_DequantizeLinear_Output",
    "_quantized",
)


def plain_name(name: str) -> str:
    """The name of the tensor that a quantized one stands for: `conv1.weight` of `conv1.weight_quantized`."""
    for ending in _ENDINGS:
        if name.endswith(ending) and len(name) > len(ending):
            return name.removesuffix(ending)
    return name
