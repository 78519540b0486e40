"""Export quantized networks: QDQ ONNX."""

from intaglio.export.qdq import check_versions, export_qdq

__all__ = ["check_versions", "export_qdq"]
