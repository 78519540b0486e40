"""Read .tflite files as ONNX models in memory, from which the other front ends go on (see `read_tflite`)."""
