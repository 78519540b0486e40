"""Options that describe pictures, on every command that reads data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import intaglio as ig
from intaglio.cli import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("pictures")
    for name in "abcd":
        (folder / name).mkdir()
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)).save(folder / name / f"{i}.jpg")
    return folder


def test_a_folder_is_quantized_and_measured_without_a_descriptor(made, pictures, tmp_path, capsys):
    options = ["--size", "8", "--mean", "0.5", "--std", "0.25"]
    argv = ["quantize", made.model, "--data", pictures, "--eval", pictures, *options, "-o", tmp_path / "out", "--json"]
    assert main(list(map(str, argv))) == 0
    summary = json.loads(capsys.readouterr().out)
    program = ig.load_program(tmp_path / "out" / "model.intaglio")
    score = ig.evaluate(program, ig.pictures(pictures, size=8, mean=0.5, std=0.25))
    assert score.value == pytest.approx(summary["integer"]["value"], abs=1e-3)
    argv = ["evaluate", tmp_path / "out" / "model.intaglio", "--data", pictures, *options, "--json"]
    assert main(list(map(str, argv))) == 0
    assert json.loads(capsys.readouterr().out)["value"] == pytest.approx(score.value, abs=1e-3)
    argv = ["compare", made.model, tmp_path / "out" / "model.intaglio", "--data", pictures, *options]
    assert main(list(map(str, argv))) == 0


@pytest.mark.parametrize("options", [[], ["--mean", "0.5", "--channels", "bgr", "--layout", "nchw"]])
def test_output_says_where_pictures_are_only_scaled(made, pictures, tmp_path, capsys, options):
    note = "pictures are only scaled to 0..1, as no preset, mean or standard deviation is given"
    data = ["--data", pictures, "--size", "8", *options]
    out, table = tmp_path / "out", tmp_path / "s.json"
    for argv in (
        ["quantize", made.model, *data, "-o", out],
        ["train", made.model, *data, "--steps", "1", "-o", out],
        ["evaluate", made.model, *data],
        ["compare", made.model, made.program, *data],
        ["sensitivity", made.model, *data, "-o", table],
    ):
        assert main(list(map(str, argv))) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert (note in text) == (not options), argv
    if not options:
        assert any(note in step["text"] for step in json.loads((out / "summary.json").read_text())["steps"])


def test_history_says_where_evaluation_data_are_prepared_otherwise(made, pictures, tmp_path, capsys):
    (tmp_path / "d.toml").write_text(f"path = '{pictures}'\n[image]\nsize = 8\ncrop = 8\nchannels = 'BGR'\n")
    data = ["--data", pictures, "--eval", tmp_path / "d.toml", "--size", "8"]
    argv = ["quantize", made.model, *data, "-o", tmp_path / "out"]
    assert main(list(map(str, argv))) == 0
    assert "calibration and evaluation data are prepared differently" in " ".join(capsys.readouterr().out.split())


def commands(made, pictures, tmp_path):
    """Every command that reads data, but for --data."""
    return {
        "quantize": ["quantize", made.model, "-o", tmp_path / "out"],
        "train": ["train", made.model, "-o", tmp_path / "out"],
        "sensitivity": ["sensitivity", made.model, "-o", tmp_path / "s.json"],
        "survey": ["survey", made.model, "--eval", pictures, "-o", tmp_path / "out"],
        "evaluate": ["evaluate", made.model],
        "compare": ["compare", made.model, made.program],
    }


COMMANDS = ("quantize", "train", "sensitivity", "survey", "evaluate", "compare")
WRONG = {
    "unknown preset": (
        ["--preset", "imagnet"],
        "--preset: expected imagenet or cifar10 or raw or caffe, got 'imagnet'",
    ),
    "no size": (["--size", "0"], "--size: expected a size such as 224, or height,width such as 96,128, got '0'"),
    "three sizes": (["--size", "8,8,8"], "--size: expected a size such as 224"),
    "size in words": (["--crop", "big"], "--crop: expected a size such as 224"),
    "mean in words": (["--mean", "half"], "--mean: expected numbers such as 0.485,0.456,0.406, got 'half'"),
    "mean of 0 to 255": (["--mean", "127.5"], "--mean: expected numbers of 0 to 1, as pixels are scaled to 0..1 first"),
    "two means": (
        ["--mean", "0.5,0.5"],
        "mean and std must both hold 3 numbers (colors) or both 1 (grey), got 2 and 3",
    ),
    "no deviation": (["--std", "0,1,1"], "--std: expected numbers above 0, by which pixels are divided, got '0,1,1'"),
    "layout": (["--layout", "HWC"], "--layout: expected NCHW or NHWC, got 'HWC'"),
    "channels": (["--channels", "GBR"], "--channels: expected RGB or BGR, got 'GBR'"),
    "other size": (["--size", "16"], "expected samples of shape (3, 8, 8), got (3, 16, 16)"),
    "crop beyond size": (["--size", "8", "--crop", "16"], "Set --size (size under [image]) to at least the crop"),
    "no file of classes": (
        ["--size", "8", "--classes", "none.txt"],
        "none.txt: expected a text file with one class name",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_of_every_command(fails, made, pictures, tmp_path, command, name):
    options, text = WRONG[name]
    assert text in fails(*commands(made, pictures, tmp_path)[command], "--data", pictures, *options)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "survey"])
def test_options_that_nothing_would_use(fails, made, pictures, tmp_path, command):
    argv = commands(made, pictures, tmp_path)[command]
    text = fails(*argv, "--data", made.data, "--preset", "raw")
    assert "--preset: expected a folder of images or a .parquet file, got" in text


def test_one_broken_picture_and_an_empty_folder(fails, made, pictures, tmp_path):
    (tmp_path / "broken").mkdir()
    whole = next(pictures.rglob("*.jpg")).read_bytes()
    (tmp_path / "broken" / "good.jpg").write_bytes(whole)
    (tmp_path / "broken" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    for command in COMMANDS:
        argv = commands(made, pictures, tmp_path)[command]
        if command in ("quantize", "compare", "sensitivity"):
            assert "half.jpg: expected an image" in fails(*argv, "--data", tmp_path / "broken", "--size", "8")
        assert "empty: no samples. Expected class folders" in fails(*argv, "--data", tmp_path / "empty", "--size", "8")
