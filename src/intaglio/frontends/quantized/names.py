"""Remove the suffixes that other tools append to the names of quantized tensors."""

from __future__ import annotations

_ENDINGS = (
    "_QuantizeLinear_Output",
    "_DequantizeLinear_Output",
    "_quantized",
)


def plain_name(name: str) -> str:
    """Return the name of the tensor before quantization: `conv1.weight` for `conv1.weight_quantized`."""
    for ending in _ENDINGS:
        if name.endswith(ending) and len(name) > len(ending):
            return name.removesuffix(ending)
    return name
