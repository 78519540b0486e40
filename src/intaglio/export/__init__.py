"""Export quantized networks: QDQ ONNX and TFLite."""

from intaglio.export.qdq import export_qdq
from intaglio.export.tflite import check_tflite_rule, export_tflite
from intaglio.export.versions import check_versions

__all__ = ["check_tflite_rule", "check_versions", "export_qdq", "export_tflite"]
