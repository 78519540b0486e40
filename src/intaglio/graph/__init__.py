"""The Graph: a float network as an ONNX graph in normal form, and the passes that rearrange it."""

from intaglio.graph.access import attribute, constant, consumers, is_output, shape
from intaglio.graph.fingerprint import graph_fingerprint
from intaglio.graph.graph import NORMAL_OPSET, Graph

__all__ = ["NORMAL_OPSET", "Graph", "attribute", "constant", "consumers", "graph_fingerprint", "is_output", "shape"]
