"""Networks that other tools quantized, as Graph and Plan."""

from intaglio.imports.load import load_quantized_graph

__all__ = ["load_quantized_graph"]
