"""Export quantized networks: QDQ ONNX."""

from intaglio.export.qdq import export_qdq
from intaglio.export.versions import check_versions

__all__ = ["check_versions", "export_qdq"]
