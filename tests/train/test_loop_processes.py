"""Several processes train the network that one trains; where one dies, the others say so and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from intaglio_tests.loop_net import raw_graph

SHARED = os.pathsep.join([str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", "")])
CODE = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from intaglio_tests.loop_net import dataset_for
from intaglio.cli.main import _fail
from intaglio.errors import IntaglioError
from intaglio.frontends import load_onnx
from intaglio.processes import processes
from intaglio.train.loop import RunOptions, TrainSettings, train
from intaglio.train.prepare import prepare_qat
folder, name, method, frozen, slow = Path(sys.argv[1]), *sys.argv[2:]
module = prepare_qat(load_onnx(folder / "net.onnx"), target="w4a8", method=method)
settings = TrainSettings(
    epochs=2, batch=32, lr=0.01, augment=("crop", "flip"), pad=1, freeze_batch_norm=0.0 if frozen == "frozen" else None
)
tell = (lambda line: time.sleep(0.3)) if slow == "slow" else None
with processes(30) as ours:
    run_options = RunOptions(folder / f"{name}.pt", steps=3, lines=1, tell=tell, device="cpu")
    try:
        found = train(
            module,
            dataset_for(module.graph),
            settings,
            held_back=dataset_for(module.graph, 64, 5),
            run_options=run_options,
            processes=ours,
        )
    except IntaglioError as error:
        sys.exit(_fail(str(error)))
    if ours.rank == 0:
        scores = [p.score for p in found.curve if p.score is not None]
        (folder / f"{name}.json").write_text(json.dumps({"losses": [p.loss for p in found.curve], "scores": scores}))
"""


def start(folder: Path, name: str, method: str, frozen: str, slow: str, world: int) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "PYTHONPATH": SHARED,
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(folder), name, method, frozen, slow],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def finish(running: list[subprocess.Popen[str]]) -> None:
    for process in running:
        _, told = process.communicate(timeout=180)
        assert process.returncode == 0, told


@pytest.mark.slow
@pytest.mark.parametrize(("method", "frozen", "tolerance"), [("lsq", "frozen", 1e-3), ("range", "live", 0.1)])
def test_two_processes_train_the_same_network_as_one(tmp_path, method, frozen, tolerance) -> None:
    """With batch norm frozen but for the order of sums; live, each process normalizes its own part of the batch."""
    raw_graph().save(tmp_path / "net.onnx")
    finish(start(tmp_path, "one", method, frozen, "fast", 1))
    finish(start(tmp_path, "two", method, frozen, "fast", 2))
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert len(two["losses"]) == 16
    assert two["losses"] == pytest.approx(one["losses"], rel=tolerance)
    assert two["losses"][0] == pytest.approx(one["losses"][0], rel=1e-4 if frozen == "frozen" else tolerance)
    if frozen == "frozen":
        assert two["scores"] == pytest.approx(one["scores"], abs=5)


@pytest.mark.slow
@pytest.mark.parametrize("dies", [0, 1])
def test_a_dead_process_ends_the_others_with_a_clear_message(tmp_path, dies) -> None:
    raw_graph().save(tmp_path / "net.onnx")
    path = tmp_path / "dying.pt"
    running = start(tmp_path, "dying", "lsq", "live", "slow", 2)
    patience = time.monotonic() + 90
    while not path.exists() and time.monotonic() < patience:
        time.sleep(0.05)
    running[dies].kill()
    _, told = running[1 - dies].communicate(timeout=60)
    running[dies].communicate()
    assert running[1 - dies].returncode == 1
    assert "expected all processes to answer, got none from one of them" in told
    assert f"The last checkpoint is {path}" in told
    assert torch.load(path, weights_only=True)["state"]["step"] >= 3
