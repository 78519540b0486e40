"""A quantized LSTM computes what torch's does, to its steps, and freezes to itself."""

from __future__ import annotations

import pytest
import torch
from intaglio_tests.nn_nets import assert_freezes_to_itself, train

from intaglio.errors import UsageError
from intaglio.train import nn


class Classifier(torch.nn.Module):
    """The last hidden state of a sequence tells the class."""

    def __init__(self, gates: str = "int16") -> None:
        super().__init__()
        self.input, self.lstm = nn.Input("int8"), nn.LSTM(4, 6, gates=gates)
        self.fc = nn.Linear(6, 3, output="int16")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        every, (hidden, _) = self.lstm(self.input(x))
        return self.fc(hidden), every


class Cell(torch.nn.Module):
    """One step, the state given and returned."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.cell = nn.Input("int8"), nn.LSTMCell(4, 6)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cell(self.input(x), (h, c))


def sequences(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes: which of the first three features is largest on average."""
    generator = torch.Generator().manual_seed(3)
    y = torch.arange(n) % 3
    x = torch.randn((n, 3, 4), generator=generator)
    x[torch.arange(n), :, y] += 1.0
    return x, y


@pytest.mark.parametrize("gates", [pytest.param("int16", marks=pytest.mark.slow), "int8"])
def test_a_sequence_is_learned_and_freezes_to_itself(gates: str) -> None:
    torch.manual_seed(3)
    net, (x, y) = Classifier(gates), sequences()
    losses = train(net, x, y, 60, lr=0.01)
    assert losses[-1] < 0.7 * losses[0]
    assert_freezes_to_itself(net, x, tables=True)


def test_a_cell_with_explicit_state_freezes_to_itself() -> None:
    torch.manual_seed(3)
    net, (x, _) = Cell(), sequences()
    h, c = 0.3 * torch.randn(24, 6), torch.randn(24, 6)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for _ in range(5):
        optimizer.zero_grad()
        net(x[:, 0], h, c)[0].square().sum().backward()
        optimizer.step()
    assert_freezes_to_itself(net, x[:, 0], h, c, tables=True)


def test_the_lstm_computes_what_torch_computes() -> None:
    torch.manual_seed(3)
    torch_cell, cell = torch.nn.LSTMCell(4, 6), nn.LSTMCell(4, 6)
    missing = cell.load_state_dict(torch_cell.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all("quantizer" in key for key in missing.missing_keys)
    data, (x, _) = nn.Input("int16"), sequences()
    with torch.no_grad():
        state, want = None, None
        for step in range(x.shape[1]):
            state = cell(data(x[:, step]), state)
            want = torch_cell(x[:, step], want)
    assert state is not None
    assert want is not None
    for found, exact in zip(state, want, strict=True):
        assert (torch.as_tensor(found) - exact).abs().max() < 0.05


def test_a_sequence_step_by_step_equals_the_whole_sequence() -> None:
    torch.manual_seed(3)
    net, (x, _) = Classifier(), sequences()
    with torch.no_grad():
        net(x)
        net.eval()
        every = net(x)[1]
        state = None
        for step in range(x.shape[1]):
            state = net.lstm.cell(net.input(x[:, step]), state)
            assert torch.equal(torch.as_tensor(state[0]), torch.as_tensor(every)[:, step])


def test_inputs_that_are_not_sequences_are_refused() -> None:
    with pytest.raises(UsageError, match="expected \\(N, steps, features\\)"):
        nn.LSTM(4, 6)(nn.Input("int8")(torch.zeros(2, 4)))
