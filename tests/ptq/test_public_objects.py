"""Objects that calls return: one line in a console, a table on request, files by suffix, and calls like functions."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import CompileError, ExportError, PlanError, TargetError, UsageError


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(12, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(x: np.ndarray) -> ig.Quantized:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    return ig.quantize(ig.load(net.eval(), torch.zeros(1, 3, 8, 8)), x, calibrator="max")


def test_a_program_is_called_like_a_function(quantized: ig.Quantized, x: np.ndarray) -> None:
    program = quantized.lower()
    native = ig.compile(program, directory=None, threads=1)
    for run in (program, native):
        np.testing.assert_array_equal(run(x), program.run(x))
        np.testing.assert_array_equal(run({program.inputs[0]: x}), program.run(x))


def test_objects_are_one_line_and_a_table(quantized: ig.Quantized) -> None:
    program = quantized.lower()
    native = ig.compile(program, directory=None, threads=1)
    objects = {
        "Graph": (quantized.graph, len(quantized.graph.nodes)),
        "Plan": (quantized.plan, len(quantized.plan.values)),
        "Quantized": (quantized, len(quantized.graph.nodes)),
        "Program": (program, len(program.nodes)),
        "NativeProgram": (native, len(native.model.steps)),
        "Targets": (ig.targets(), len(ig.targets())),
    }
    for name, (found, rows) in objects.items():
        assert repr(found).startswith(f"{name}(")
        assert len(repr(found).splitlines()) == 1
        title, headings, rule, *lines = found.summary().splitlines()
        assert title
        assert set(rule) == {"-", " "}, headings
        assert len(lines) == rows


def test_a_name_of_two_lines_does_not_break_the_line(quantized: ig.Quantized) -> None:
    program = quantized.lower()
    program.metadata["name"] = "two\nlines"
    assert len(repr(program).splitlines()) == 1


def test_a_folder_gets_every_file(quantized: ig.Quantized, x: np.ndarray, tmp_path: Path) -> None:
    written = quantized.save(tmp_path / "out")
    assert [path.name for path in written] == ["model.intaglio", "model.qdq.onnx", "plan.json", "report.html"]
    assert all(path.stat().st_size for path in written)
    want = quantized.lower().run(x)
    np.testing.assert_array_equal(ig.load_program(written[0]).run(x), want)
    np.testing.assert_array_equal(ig.load_quantized(written[1]).lower().run(x), want)
    assert ig.load_plan(written[2]) == ig.Plan.from_json(quantized.plan.to_json())
    assert quantized.save(str(tmp_path / "out")) == written  # again, over the files of before


@pytest.mark.parametrize("name", ["m.intaglio", "m.onnx", "m.json", "m.html"])
def test_a_file_is_what_its_suffix_says(quantized: ig.Quantized, tmp_path: Path, name: str) -> None:
    assert quantized.save(tmp_path / name) == (tmp_path / name,)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_places_that_cannot_be_written(quantized: ig.Quantized, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"m\.pb: expected a folder, or a name that ends in \.intaglio, .*'\.pb'"):
        quantized.save(tmp_path / "m.pb")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="expected a folder that can be written"):
        quantized.save(tmp_path / "file" / "out")
    with pytest.raises(ExportError, match="expected to write the Plan here"):
        quantized.save(tmp_path / "file" / "plan.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("{}")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\xfd")
    for name in ("text.json", "binary.json", "nothing.json", "."):
        with pytest.raises(PlanError, match=r"expected a Plan|not a Plan"):
            ig.load_plan(tmp_path / name)


def test_targets_are_called_although_a_package_has_the_name() -> None:
    import intaglio.targets

    assert list(ig.targets()) == list(intaglio.targets.BUILTIN)
    assert ig.targets("cpu-int8")["cpu-int8"].accumulator == 64
    assert list(inspect.signature(intaglio.targets).parameters) == ["names"]
    with pytest.raises(TargetError, match="no-such-target"):
        ig.targets("no-such-target")


def test_models_are_compared_by_path_or_as_objects(quantized: ig.Quantized, x: np.ndarray, tmp_path: Path) -> None:
    program = quantized.lower()
    paths = [tmp_path / "net.onnx", tmp_path / "net.intaglio", tmp_path / "net.qdq.onnx"]
    quantized.graph.save(paths[0])
    quantized.save(paths[1])
    quantized.save(paths[2])
    found = ig.compare(quantized.graph, program, x, samples=8)
    assert ig.compare(paths[0], str(paths[1]), x, samples=8) == found
    assert found.samples == 8
    assert found.agreement >= 75
    assert repr(found).startswith("ModelComparison(")
    assert len(repr(found).splitlines()) == 1
    assert len(found.summary().splitlines()) == 3 + len(found.layers) + 1
    same = ig.compare(program, ig.compile(program, directory=None, threads=1), x)
    assert {layer.sqnr for layer in same.layers} == {np.inf}
    assert "equal" in repr(same)
    assert ig.compare(quantized, paths[2], x).agreement == 100


def test_every_kind_of_model_is_inspected(quantized: ig.Quantized, tmp_path: Path) -> None:
    program = quantized.lower()
    quantized.save(tmp_path / "net.onnx")
    native = ig.compile(program, directory=None, threads=1)
    kinds = {
        "graph": ig.inspect(quantized.graph, target="int8-symmetric"),
        "quantized network": ig.inspect(tmp_path / "net.onnx"),
        "program": ig.inspect(native, machine="cortex-m4"),
    }
    for kind, found in kinds.items():
        assert found.to_json()["kind"] == kind
        assert found.blockers == ()
        assert len(repr(found).splitlines()) == 1
        assert len(found.summary().splitlines()) > 5
    assert "int8-symmetric" in repr(kinds["graph"])
    assert kinds["program"].facts["arena"] == ig.inspect(program, machine="cortex-m4").facts["arena"]
    with pytest.raises(TargetError, match="no-such-target"):
        ig.inspect(quantized.graph, target="no-such-target")
    with pytest.raises(CompileError, match="no-such-machine"):
        ig.inspect(program, machine="no-such-machine")


def test_a_program_is_timed(quantized: ig.Quantized, tmp_path: Path) -> None:
    program = quantized.lower()
    found = ig.bench(program, peers=(), rounds=1, profile=True, directory=tmp_path)
    assert {row.timing.engine.ends for row in found.comparison.rows} >= {"integers"}
    assert [profile.threads for profile in found.profiles] == [1]
    assert repr(found).startswith("Latencies(")
    assert len(repr(found).splitlines()) == 1
    assert "engine" in found.summary()
    assert found.to_json()["profiles"][0]["steps"]
    native = ig.compile(program, directory=tmp_path, threads=1)
    assert len(ig.bench(native, peers=(), rounds=1).comparison.rows) == len(found.comparison.rows)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"threads": 0}, "threads: expected numbers such as 1,2, got 0"),
        ({"rounds": 0}, "rounds: expected at least 1, got 0"),
        ({"peers": ("turbo",)}, "peers: expected some of onnxruntime, .*, got turbo"),
    ]
    for arguments, text in wrong:
        with pytest.raises(UsageError, match=text):
            ig.bench(program, directory=tmp_path, **arguments)
    with pytest.raises(UsageError, match="threads: expected those of the compiled program, 1, got 2"):
        ig.bench(native, threads=2)


def test_files_are_evaluated_by_path(quantized: ig.Quantized, x: np.ndarray, tmp_path: Path) -> None:
    data = (x, np.arange(len(x)) % 4)
    quantized.graph.save(tmp_path / "net.onnx")
    quantized.save(tmp_path / "net.intaglio")
    quantized.save(tmp_path / "net.qdq.onnx")
    objects = {"net.onnx": quantized.graph, "net.intaglio": quantized.lower(), "net.qdq.onnx": quantized}
    for name, model in objects.items():
        assert ig.evaluate(tmp_path / name, data) == ig.evaluate(model, data)
