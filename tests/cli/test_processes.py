"""Several processes share calibration and evaluation, and find what one finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import intaglio as ig
from intaglio.evaluation import FloatStage
from intaglio.processes import Processes


@pytest.fixture(scope="module")
def more_data(made, tmp_path_factory):
    """Several batches for each process, the last one short."""
    x = np.random.default_rng(3).normal(size=(331, 3, 8, 8)).astype(np.float32)
    path = tmp_path_factory.mktemp("more") / "data.npz"
    np.savez(path, x=x, y=FloatStage(ig.load(made.model)).run(x)[0].argmax(1))
    return path


def intaglio(world: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return launched(world, "-m", "intaglio", *arguments)


def launched(world: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)] if world > 1 else []
    return subprocess.run(
        [sys.executable, *launcher, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


LEAVING = """
import sys
from pathlib import Path
from intaglio.cli import main
status = main()
left = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
sys.exit(f"threads left: {left}" if any("gloo" in name for name in left) else status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which lists threads")
@pytest.mark.parametrize("command", ["sensitivity", "train"])
def test_no_thread_of_the_transport_outlives_a_command(made, more_data, tmp_path, command) -> None:
    """One that lets go of a tensor while the interpreter ends aborts the process."""
    options = {
        "sensitivity": ("--data", more_data, "--calibrator", "max", "--samples", 16, "--held-back", 8),
        "train": ("--data", more_data, "--steps", 2, "--batch", 8),
    }
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    done = launched(2, script, command, made.model, *options[command], "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("calibrator", ["auto", "moving-average", "entropy"])
def test_quantize_on_two_processes_gives_the_plan_of_one(made, more_data, tmp_path, calibrator) -> None:
    found = {}
    for world in (1, 2):
        out = tmp_path / str(world)
        options = ("--calibrator", calibrator, "--target", "cpu-int8", "--eval", more_data, "--json")
        done = intaglio(world, "quantize", made.model, "--data", more_data, "-o", out, *options)
        assert done.returncode == 0, done.stderr
        found[world] = json.loads(done.stdout)
    one, two = tmp_path / "1", tmp_path / "2"
    assert (one / "plan.json").read_bytes() == (two / "plan.json").read_bytes()
    assert (one / "model.intaglio").read_bytes() == (two / "model.intaglio").read_bytes()
    for key in ("float", "simulated", "integer", "agreement", "confusion", "histograms"):
        assert found[1][key] == found[2][key], key


@pytest.mark.slow
def test_evaluate_on_two_processes_scores_as_one(made, more_data) -> None:
    one, two = (intaglio(n, "evaluate", made.program, "--data", more_data, "--json") for n in (1, 2))
    assert one.returncode == two.returncode == 0, two.stderr
    assert json.loads(one.stdout) == json.loads(two.stdout)
    assert json.loads(two.stdout)["samples"] == 331


@pytest.mark.slow
def test_an_error_in_the_part_of_one_is_an_error_of_all(made, more_data, tmp_path) -> None:
    x = np.load(more_data)["x"]
    x[300, 0] = np.nan
    np.savez(tmp_path / "spoilt.npz", x=x)
    done = intaglio(2, "quantize", made.model, "--data", tmp_path / "spoilt.npz", "-o", tmp_path / "out")
    assert done.returncode != 0
    assert "sample 300: " in done.stderr
    assert "Traceback (most recent call last):\n  File" not in done.stderr.split("error: ")[0]
    assert not (tmp_path / "out" / "plan.json").exists()


@pytest.mark.parametrize(("count", "multiple", "world"), [(331, 64, 2), (331, 64, 4), (64, 1, 3), (1000, 7, 5)])
def test_parts_are_all_samples_once_in_whole_batches(count, multiple, world) -> None:
    parts = [Processes(rank, world).part(count, multiple) for rank in range(world)]
    assert [i for part in parts for i in part] == list(range(count))
    assert all(part.start % multiple == 0 for part in parts)


def test_few_samples_are_not_shared() -> None:
    assert Processes(0, 2).part(64, 64) is None
    assert Processes(1, 4).part(31, 1) is None
    assert Processes().part(1000, 1) is None
