"""Export quantized networks: QDQ ONNX."""

from intaglio.export.qdq import export_qdq

__all__ = ["export_qdq"]
