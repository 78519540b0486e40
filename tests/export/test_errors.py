"""What cannot be written: one clear error, and nothing half-written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from intaglio_tests.qdq_net import Net, calibrated, run_ort

from intaglio.errors import ExportError, PlanError
from intaglio.export import export_qdq, runtime, write
from intaglio.lower import lower


@pytest.fixture
def made():
    net = Net()
    net.op("Conv", "x", net.normal(4, 4, 3, 3), net.normal(4), out="y")
    return calibrated(net.model((1, 4, 6, 6), "y"), "cpu-int8")


def test_a_plan_without_parameters(made, tmp_path: Path) -> None:
    graph, plan, _ = made
    plan = plan.copy()
    plan.values["y"] = replace(plan["y"], params=None)
    with pytest.raises(ExportError, match=r"\[value 'y'\] expected parameters, got a Plan without them"):
        export_qdq(graph, plan, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_plan_of_another_graph(made, tmp_path: Path) -> None:
    graph, plan, _ = made
    other = plan.copy()
    del other.values["y"]
    with pytest.raises(PlanError, match="the Plan has no such value; it was made for another Graph"):
        export_qdq(graph, other, tmp_path / "m.onnx")


def test_a_bias_that_does_not_fit(made, tmp_path: Path) -> None:
    graph, plan, _ = made
    graph = graph.copy()
    bias = graph.node("n_y").inputs[2]
    bias.const_value = onnx_tensor(np.full(4, 1e9, np.float32))
    with pytest.raises(ExportError, match=r"\[Conv 'n_y'\] its bias needs \d+, which does not fit int32"):
        export_qdq(graph, plan, tmp_path / "m.onnx")


def onnx_tensor(array: np.ndarray):
    import onnx_ir as ir

    return ir.Tensor(array)


def test_a_directory_that_does_not_exist(made, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected to write the QDQ model here, got: No such file or directory"):
        export_qdq(made[0], made[1], tmp_path / "nowhere" / "m.onnx")


def test_a_directory_that_cannot_be_written(obeys_permissions, made, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(ExportError, match="expected to write the QDQ model here, got: Permission denied"):
        export_qdq(made[0], made[1], folder / "m.onnx")


def test_a_path_that_is_a_directory(made, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(ExportError, match="is a directory"):
        export_qdq(made[0], made[1], tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("judge", ["checker", "runtime", "optimizer"])
def test_a_model_that_is_refused_leaves_the_old_file(
    judge: str, made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"what was here before")

    real = onnxruntime.InferenceSession

    def refuse(*args: object, **options: object) -> None:
        raise RuntimeError("no")

    def session(given: str | bytes, options: onnxruntime.SessionOptions, **more: Any) -> Any:
        plain = options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if isinstance(given, str) and plain == (judge == "runtime"):
            raise RuntimeError("no")
        return real(given, options, **more)

    if judge == "checker":
        monkeypatch.setattr(onnx.checker, "check_model", refuse)
        text = "expected valid ONNX, got: no"
    elif judge == "runtime":
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        text = r"expected ONNX Runtime [\d.]+ to load the model as it is, got: no"
    else:
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        text = r"expected ONNX Runtime [\d.]+ to load the model with its optimizations, got: no"
    with pytest.raises(ExportError, match=text):
        export_qdq(made[0], made[1], path)
    assert path.read_bytes() == b"what was here before"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_runtime_too_old_for_the_opset_is_not_asked(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(given: str | bytes, *args: object, **options: object) -> None:
        asked.append(given)
        raise RuntimeError("opset 13 is newer than this runtime")

    asked: list[str | bytes] = []
    runtime.reads.cache_clear()
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    try:
        export_qdq(made[0], made[1], tmp_path / "m.onnx")
    finally:
        runtime.reads.cache_clear()
    assert [type(given) for given in asked] == [bytes], "a model that copies its input, and not the file"
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)


def test_the_installed_runtime_reads_what_is_exported() -> None:
    """Then nothing that the suite exports goes unchecked."""
    assert runtime.reads(13, 7)
    newest = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
    assert runtime.reads(24, 12) or newest <= (1, 23)
    assert not runtime.reads(10**6, 7)


def test_an_interruption_leaves_nothing(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx.checker, "check_model", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_qdq(made[0], made[1], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_beyond_a_protobuf_lie_beside_the_model(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, plan, x = made
    monkeypatch.setattr(write, "_LARGEST_PROTOBUF", 64)
    export_qdq(graph, plan, tmp_path / "m.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    step = float(plan.params("y").scale)
    assert np.abs(run_ort(tmp_path / "m.onnx", x) - lower(graph, plan).run(x)).max() < 1.001 * step
