"""Write integer programs as .tflite files (see `write_tflite`)."""

from intaglio.export.tflite.write_tflite import check_tflite_rule, export_tflite

__all__ = ["check_tflite_rule", "export_tflite"]
