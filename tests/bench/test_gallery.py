from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAM = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import coverage
from torch import nn
from gallery.network import Network, numbers

def crash():
    os.abort()

def hang():
    time.sleep(600)

def net(name, build):
    return Network(name, "a field", build, [numbers(4)])

coverage.PRELOADED = ("torch", "onnxruntime", "intaglio.api", "intaglio.codegen.native")
coverage.networks = lambda: [
    net("good", lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU())),
    net("refused", lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(2.0))),
    net("crashing", crash),
    net("hanging", hang),
]
shared = ["--work", sys.argv[2], "--packaged", sys.argv[2] + "/none", "--exporters", "script", "--targets", "cpu-int8"]
page = os.path.join(sys.argv[2], "page.md")
coverage.main([*shared, "--shard", "1/2", "--seconds", "60", "--page", ""])
coverage.main([*shared, "--shard", "2/2", "--seconds", "60", "--networks", "refused", "--page", ""])
coverage.main([*shared, "--seconds", "1", "--page", page])
"""


def test_each_network_is_a_row_also_one_that_crashes_or_hangs(tmp_path: Path) -> None:
    """In a process of its own, as the runner forks."""
    command = [sys.executable, "-c", PROGRAM, str(BENCHMARKS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line for path in tmp_path.glob("results*.jsonl") for line in path.read_text().splitlines()]
    rows = {row["network"]: row for row in map(json.loads, lines)}
    assert len(lines) == len(rows) == 4  # what has a result is not computed again
    assert rows["good"]["stage"] == "native" and rows["good"]["equal"] and rows["good"]["reason"] == ""
    assert rows["good"]["loaded"] > 60 and rows["good"]["program"] > 6  # dB; few samples give the ranges
    reasons = {name: (row["stage"], row["reason"]) for name, row in rows.items()}
    assert reasons["refused"][0] == "build" and "dropout probability has to be between 0 and 1" in reasons["refused"][1]
    assert reasons["crashing"] == ("build", "crashed: SIGABRT")
    assert reasons["hanging"] == ("build", "killed: more than 1 s")
    page = (tmp_path / "page.md").read_text()
    assert "| script | cpu-int8 | 4 | 1 | 1 | 100 % |" in page
    assert all(text in page for text in ("| good | script | cpu-int8 | 2 | native |", "crashed: SIGABRT", "build (1)"))
