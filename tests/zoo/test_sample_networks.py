"""What `intaglio sample` writes: networks that are worth quantizing, with data that fit them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

import intaglio as ig
from intaglio.cli import main
from intaglio.data import open_data
from intaglio.zoo.sample_networks import FILES, SAMPLES

FLOAT_TOP1 = {"digits": 99.44, "keyword": 96.0, "resnet8": 90.6}
"""What `examples/train_samples.py` printed."""
LARGEST = 400_000  # bytes of a file in the package


@pytest.fixture(scope="module", params=sorted(SAMPLES))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("samples") / request.param
    assert main(["sample", request.param, "-o", str(folder)]) == 0
    return request.param, folder


def test_the_float_network_has_the_accuracy_of_its_training(written: tuple[str, Path]) -> None:
    name, folder = written
    score = ig.evaluate(ig.load(folder / f"{name}.onnx"), folder / "test.toml")
    assert score.value == pytest.approx(FLOAT_TOP1[name], abs=1.0)


def test_calibration_and_test_data_are_disjoint_and_labelled(written: tuple[str, Path]) -> None:
    _, folder = written
    rows = {}
    for part in ("calib", "test"):
        batches = list(open_data(folder / f"{part}.toml").batches(64))
        assert all(y is not None for _, y in batches)
        rows[part] = {np.asarray(x).tobytes() for batch, _ in batches for x in batch}
    assert len(rows["calib"]) >= 100
    assert len(rows["test"]) >= 300
    assert not rows["calib"] & rows["test"]


def test_the_files_are_small_and_name_no_place_of_the_machine_that_made_them(written: tuple[str, Path]) -> None:
    name, folder = written
    content = (folder / f"{name}.onnx").read_bytes()
    assert len(content) < LARGEST
    assert b"/site-packages/" not in content
    assert b".py" not in content
    assert all(path.stat().st_size < LARGEST for path in FILES.iterdir())


def test_shapes_of_weights_stand_only_at_the_weights(written: tuple[str, Path]) -> None:
    """ONNX Runtime's dynamic quantizer refuses the file otherwise."""
    name, folder = written
    graph = onnx.load(folder / f"{name}.onnx").graph
    assert not {value.name for value in graph.value_info} & {weight.name for weight in graph.initializer}


def test_the_command_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "with space"
    assert main(["sample", "digits", "-o", str(folder)]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    command = f"intaglio quantize '{folder}/digits.onnx' --data '{folder}/calib.toml' --eval '{folder}/test.toml'"
    assert line.strip() == f"{command} -o '{folder}/out'"


def test_an_unknown_sample_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["sample", "nothing", "-o", "s"])
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "digits" in line


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_pages_state_the_same_accuracy(name: str) -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    (data,) = re.findall(rf"^\| `{name}` .*$", (docs / "data.md").read_text(encoding="utf-8"), re.MULTILINE)
    (measured,) = re.findall(rf"^\| {name} .*$", (docs / "accuracy.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"| {FLOAT_TOP1[name]:.2f} of " in data
    assert f"| {FLOAT_TOP1[name]:.2f} |" in measured
