"""`intaglio train`: what it writes, how it goes on, and what bad input gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
from intaglio.cli import main

FILES = {"model.intaglio", "model.qdq.onnx", "model_explorer.json", "plan.json", "report.html", "summary.json"}


@pytest.fixture(scope="module")
def labelled(made, tmp_path_factory) -> Path:
    """Enough samples to train on; the labels are what the float network says."""
    x = np.random.default_rng(3).normal(size=(256, 3, 8, 8)).astype(np.float32)
    y = ig.load(made.model)
    from intaglio.evaluation import FloatStage

    path = tmp_path_factory.mktemp("labelled") / "train.npz"
    np.savez(path, x=x, y=FloatStage(y).run(x)[0].argmax(1))
    return path


def arguments(made, labelled, out: Path, *more: object) -> list[str]:
    fast = ["--steps", 12, "--batch", 32, "--samples", 16, "--calibrator", "max", "--device", "cpu", "--lr", 0.01]
    common = ["train", made.model, "--data", labelled, "--eval", made.data, "--target", "w4a8", "-o", out]
    return [str(a) for a in (*common, *fast, *more)]


def test_train_writes_the_files_of_quantize_and_the_training_curve(made, labelled, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(arguments(made, labelled, out, "--augment", "flip,crop", "--json")) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert {p.name for p in out.iterdir()} == FILES
    assert json.loads((out / "summary.json").read_text()) == summary
    assert [point["step"] for point in summary["training"] if point["score"] is not None] == [7, 12]
    assert any(step["algorithm"] == "training" for step in summary["steps"])
    assert summary["agreement"]["simulated and integer"] == 100
    program = ig.load_program(out / "model.intaglio")
    assert summary["integer"]["value"] == ig.evaluate(program, made.data).value
    assert "step 12 of 12" in printed.err
    assert "top-1 held back, %" in printed.err


@pytest.mark.parametrize(
    "options",
    [
        ["--teacher", "float", "--distill", "0.9", "--temperature", "2"],
        ["--from-nothing", "--optimizer", "adamw", "--label-smoothing", "0.1"],
        ["--method", "range", "--freeze-ranges", "0.5", "--precision", "bf16", "--held-back", "0"],
    ],
    ids=" ".join,
)
def test_options_run(made, labelled, tmp_path, options) -> None:
    assert main(arguments(made, labelled, tmp_path / "out", *options)) == 0


def train_process(made, labelled, out: Path, *more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "intaglio", *arguments(made, labelled, out, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_program(made, labelled, tmp_path) -> None:
    more = ("--steps", 400, "--checkpoint-steps", 5, "--augment", "crop,flip")
    whole = train_process(made, labelled, tmp_path / "whole", *more)
    assert whole.wait(200) == 0, whole.stderr.read()
    out = tmp_path / "killed"
    killed = train_process(made, labelled, out, *more)
    patience = time.monotonic() + 100
    while not (out / "checkpoint.pt").exists() and time.monotonic() < patience:
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    assert not (out / "model.intaglio").exists()
    anew = train_process(made, labelled, out, *more)
    assert "resume with --resume" in anew.communicate(timeout=200)[1]
    again = train_process(made, labelled, out, *more, "--resume")
    assert again.wait(200) == 0, again.stderr.read()
    for process in (whole, again):
        process.communicate()
    assert (out / "model.intaglio").read_bytes() == (tmp_path / "whole" / "model.intaglio").read_bytes()
    assert {p.name for p in out.iterdir()} == FILES


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(made, labelled, tmp_path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "intaglio"]
    done = subprocess.run(
        [*command, *arguments(made, labelled, out, "--json")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["training"][-1]["step"] == 12
    assert {p.name for p in out.iterdir()} == FILES


def fails_and_writes_nothing(fails, made, labelled, out: Path, *more: object) -> str:
    text = fails(*arguments(made, labelled, out, *more))
    assert not out.exists() or [p.name for p in out.iterdir()] == ["checkpoint.pt"]
    return text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--resume"], "expected the checkpoint of an interrupted training, got no file"),
        (["--method", "magic"], "method: expected one of range, lsq"),
        (["--estimator", "magic"], "estimator: expected one of clipped"),
        (["--optimizer", "newton"], "optimizer: expected sgd or adamw, got 'newton'"),
        (["--batch", "1000"], "batch: expected at most"),
        (["--held-back", "256"], "cannot hold back 256 of 256 samples"),
        (["--augment", "mixup"], "augment: expected crop or flip, got 'mixup'"),
        (["--distill", "0.5"], "distill: expected a teacher"),
        (["--epochs", "0"], "epochs: expected a number above 0"),
        (["--target", "w5a5"], "w5a5"),
        (["--device", "abacus"], "device"),
    ],
    ids=str,
)
def test_bad_options(fails, made, labelled, tmp_path, options, text) -> None:
    assert text in fails_and_writes_nothing(fails, made, labelled, tmp_path / "out", *options)


def test_bad_data(fails, made, labelled, tmp_path) -> None:
    arrays = dict(np.load(labelled))
    np.savez(tmp_path / "unlabelled.npz", x=arrays["x"])
    wrong = arrays["y"].copy()
    wrong[100] = 4
    np.savez(tmp_path / "wrong.npz", x=arrays["x"], y=wrong)
    for name, text in (("unlabelled", "labels are needed"), ("wrong", "label 4 is not among the model's 4 classes")):
        out = tmp_path / f"out-{name}"
        assert text in fails_and_writes_nothing(fails, made, tmp_path / f"{name}.npz", out)


def test_tensorboard_without_its_package_is_refused(fails, made, labelled, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    text = fails_and_writes_nothing(fails, made, labelled, tmp_path / "out", "--tensorboard", tmp_path / "logs")
    assert "pip install 'intaglio[train]'" in text


def test_tensorboard_logs(made, labelled, tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard (extra `train`)")
    assert main(arguments(made, labelled, tmp_path / "out", "--tensorboard", tmp_path / "logs")) == 0
    assert list((tmp_path / "logs").glob("events.*"))


def test_a_folder_in_use_is_refused(fails, made, labelled, tmp_path) -> None:
    from intaglio.cli.output import whole_folder

    with whole_folder(tmp_path / "out"):
        assert "another run is at work" in fails(*arguments(made, labelled, tmp_path / "out"))
