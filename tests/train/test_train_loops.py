"""Training with quantization through layers that loop over time: a character model, back-propagated through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.evaluation.sqnr import SignalToNoise

LETTERS, STEPS = 7, 6


class CharacterModel(nn.Module):
    """Embedding, a layer over time, scores of the next character."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.table = nn.Embedding(LETTERS, 5)
        self.layer, self.head = getattr(nn, kind)(5, 8, batch_first=True), nn.Linear(8, LETTERS)

    def forward(self, text: Any) -> Any:
        return self.head(self.layer(self.table(text))[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_character_model_trains_through_time(kind: str) -> None:
    torch.manual_seed(0)
    text = (torch.arange(16)[:, None] + 2 * torch.arange(STEPS + 1)) % LETTERS
    module = ig.prepare_qat(CharacterModel(kind).eval(), (text[:, :-1],), target="cpu-int8")
    optimizer = torch.optim.Adam(module.parameters(), 0.1)
    module.train()

    def loss(rows: slice = slice(None), steps: slice = slice(None)) -> Any:
        scores = module(text[:, :-1])[rows, steps]
        return nn.functional.cross_entropy(scores.transpose(1, 2), text[rows, 1:][:, steps])

    loss()  # begins the scales
    optimizer.zero_grad()
    loss(slice(1), slice(STEPS - 1, None)).backward()  # of the last step of one text
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert all(bool(gradient.isfinite().all()) for gradient in gradients.values())
    table = gradients[next(name for name in gradients if name.startswith("table"))]
    assert (table.abs().amax(1) > 0).nonzero().flatten().tolist() == sorted(text[0, :-1].tolist())
    assert len([name for name in gradients if "weight" in name or "recurrent" in name]) >= 4

    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        found = loss()
        found.backward()
        optimizer.step()
        losses.append(float(found.detach()))
    assert losses[-1] < 0.6 * losses[0]

    module.eval()
    with torch.no_grad():
        seen = module(text[:, :-1]).numpy()
    frozen = ig.freeze(module)
    x = text[:, :-1].numpy().astype(np.int32)
    program = frozen.lower().run(x if frozen.graph.batched else x[None]).reshape(seen.shape)
    np.testing.assert_array_equal(np.reshape(frozen.simulate(x), seen.shape), program)
    ratio = SignalToNoise(["y"])
    ratio.add({"y": program}, {"y": seen}, 1)
    assert ratio.by_value["y"] > 25  # training does not round the hidden state between two steps
