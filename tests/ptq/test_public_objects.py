"""Objects that calls return: one line in a console, a table on request, files by suffix, and calls like functions."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import ExportError, PlanError, TargetError


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
    with pytest.raises(
        ExportError, match=r"m\.tflite: expected a folder, or a name that ends in \.intaglio, .*'\.tflite'"
    ):
        quantized.save(tmp_path / "m.tflite")
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
