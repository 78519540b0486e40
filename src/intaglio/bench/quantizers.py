"""Quantize with the peers' own tools as their manuals recommend, so that each runs its best int8 network."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from intaglio.bench.engine import Array, Unavailable
from intaglio.bench.peers import need


def quantize_onnxruntime(
    model: Path,
    data: Sequence[dict[str, Array]],
    path: Path,
    *,
    per_channel: bool = True,
    method: Literal["MinMax", "Percentile"] = "MinMax",
) -> None:
    """Quantize with ONNX Runtime's `quant_pre_process` and `quantize_static`: QDQ, weights s8, activations u8.

    Args:
        model: float ONNX file.
        data: calibration inputs by name, batch size 1.
        path: output file.
        per_channel: one scale for each output channel of weights; otherwise one for each tensor.
        method: calibration of activations; the percentile is ONNX Runtime's default, 99.999.
    """
    need("onnxruntime", "onnxruntime")
    need("onnx", "onnx")
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(data)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.rest, None)

    proto = onnx.load(model)
    types = {v.name: onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type) for v in proto.graph.input}
    data = [{name: array.astype(types.get(name, array.dtype)) for name, array in row.items()} for row in data]
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        whole = Path(folder) / "whole.onnx"  # ONNX Runtime 1.31.1 fails on weights in a file beside the model
        onnx.save(proto, whole)
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
        )


def strip_ends(model: Path, path: Path) -> None:
    """Remove QuantizeLinear at the inputs and DequantizeLinear at the outputs of a QDQ model, for u8 inputs."""
    need("onnx", "onnx")
    import onnx

    proto = onnx.load(model)
    graph = proto.graph
    for value in graph.input:
        node = next((n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == value.name), None)
        if node is None:
            raise Unavailable(f"ONNX Runtime's quantizer left input '{value.name}' as float")
        value.name, value.type.tensor_type.elem_type = node.output[0], onnx.TensorProto.UINT8
        graph.node.remove(node)
    for value in graph.output:
        node = next((n for n in graph.node if n.op_type == "DequantizeLinear" and n.output[0] == value.name), None)
        if node is None:
            raise Unavailable(f"ONNX Runtime's quantizer left output '{value.name}' as float")
        value.name, value.type.tensor_type.elem_type = node.input[0], onnx.TensorProto.UINT8
        graph.node.remove(node)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def quantize_openvino(model: Path, data: Sequence[dict[str, Array]], path: Path, *, per_channel: bool = True) -> None:
    """Quantize with NNCF's post-training quantization and its default preset, to OpenVINO IR.

    Args:
        model, data, path: as for `quantize_onnxruntime`.
        per_channel: NNCF's default, per channel; otherwise one scale for each weight tensor.
    """
    need("openvino", "openvino")
    need("nncf", "nncf")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # hide its progress bars
        import nncf
        import openvino as ov

        weights = nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False)
        advanced = None if per_channel else nncf.AdvancedQuantizationParameters(weights_quantization_params=weights)
        quantized = nncf.quantize(
            ov.convert_model(model), nncf.Dataset(list(data)), subset_size=len(data), advanced_parameters=advanced
        )
        ov.save_model(quantized, path, compress_to_fp16=False)
