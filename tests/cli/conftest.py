"""A small trained-looking network, its data and its program, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.cli import main


class Net(nn.Module):
    """Two convolutions, a residual add and a classifier."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.second(x))
        return self.head(x.mean((2, 3)))


def make_net() -> nn.Module:
    """The factory that the tests name as package.module:factory."""
    torch.manual_seed(0)
    return Net().eval()


@dataclass
class Files:
    """Paths of what a user has."""

    folder: Path
    model: Path
    data: Path
    program: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 3, 8, 8)).astype(np.float32)
    module = make_net()
    graph = ig.load(module, (torch.zeros(1, 3, 8, 8),))
    graph.save(folder / "net.onnx")
    with torch.no_grad():
        y = module(torch.from_numpy(x)).argmax(1).numpy()
    np.savez(folder / "data.npz", x=x, y=y)
    assert (
        main(["quantize", str(folder / "net.onnx"), "--data", str(folder / "data.npz"), "-o", str(folder / "out")]) == 0
    )
    return Files(folder, folder / "net.onnx", folder / "data.npz", folder / "out" / "model.intaglio")


@pytest.fixture
def fails(capsys):
    """Run a command that must fail: exit status 1, one `error:` on standard error and nothing on standard output."""

    def run(*argv: object) -> str:
        try:
            status = main([str(a) for a in argv])
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        assert status == 1, (status, out, err)
        assert err.startswith("error: "), err
        assert "Traceback" not in err
        assert out == ""
        return err

    return run
