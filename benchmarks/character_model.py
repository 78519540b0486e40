"""Perplexity of a character model of two LSTM layers, in float and in integers.

INTAGLIO_DATA=../shared/data python benchmarks/character_model.py [TARGET]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import intaglio as ig

UNITS, STEPS, SEQUENCES, CALIBRATION = 128, 100, 200, 32
CELL = "rnnlm/multi_rnn_cell/cell_{}/basic_lstm_cell/{}"


class CharacterModel(nn.Module):
    """Embedding, two LSTM layers, and scores of the next character."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        characters, size = arrays["embedding"].shape
        self.embedding, self.head = nn.Embedding(characters, size), nn.Linear(UNITS, characters)
        self.layers = nn.LSTM(size, UNITS, 2, batch_first=True)
        state = {
            "embedding.weight": arrays["embedding"],
            "head.weight": arrays["rnnlm/softmax_w"].T,
            "head.bias": arrays["rnnlm/softmax_b"],
        }
        for layer in (0, 1):
            # TensorFlow's gates are i, j, f, o, with 1 added to f; PyTorch's are i, f, j, o.
            kernel, bias = (np.split(arrays[CELL.format(layer, name)], 4, -1) for name in ("kernel", "bias"))
            kernel, bias = ([parts[index] for index in (0, 2, 1, 3)] for parts in (kernel, bias))
            both = np.concatenate(kernel, 1).T
            state[f"layers.weight_ih_l{layer}"], state[f"layers.weight_hh_l{layer}"] = np.split(both, [-UNITS], 1)
            state[f"layers.bias_ih_l{layer}"] = np.concatenate([bias[0], bias[1] + 1, *bias[2:]])
            state[f"layers.bias_hh_l{layer}"] = np.zeros(4 * UNITS, np.float32)
        self.load_state_dict({name: torch.as_tensor(np.ascontiguousarray(array)) for name, array in state.items()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores, (N, steps, characters), of characters as numbers, (N, steps)."""
        scores: torch.Tensor = self.head(self.layers(self.embedding(x))[0])
        return scores


def perplexity(scores: NDArray[np.float32], following: NDArray[np.int64]) -> float:
    """Compute exp of the mean negative log likelihood."""
    logs = torch.log_softmax(torch.as_tensor(scores, dtype=torch.float64), -1)
    return float(logs.gather(-1, torch.as_tensor(following)[..., None]).mean().neg().exp())


def main(target: str = "cpu-int8") -> None:
    """Print both perplexities."""
    texts = Path(os.environ.get("INTAGLIO_DATA", "../shared/data")) / "text"
    folder = texts / "charRNN_bronte"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    arrays = {
        name: np.fromfile(folder / row["filename"], np.float32).reshape(row["shape"])
        for name, row in manifest.items()
        if row["shape"]
    }
    text = (texts / "bronte_1MB.txt").read_text(encoding="utf-8", errors="ignore")
    numbers = np.array([vocabulary[character] for character in text if character in vocabulary], np.int64)

    def sequences(start: int, count: int) -> NDArray[np.int64]:
        return np.stack([numbers[at : at + STEPS + 1] for at in range(start, start + count * STEPS, STEPS)])

    test, calibration = sequences(0, SEQUENCES), sequences(500_000, CALIBRATION)
    x, following = test[:, :-1], test[:, 1:]
    module = CharacterModel(arrays).eval()
    with torch.no_grad():
        real = perplexity(module(torch.as_tensor(x)).numpy(), following)
    quantized = ig.quantize(ig.load(module, torch.as_tensor(x[:1])), calibration[:, :-1], target=target)
    with tempfile.TemporaryDirectory() as directory:
        scores = ig.compile(quantized.lower(), machine="host", directory=directory).run(x)
        integer = perplexity(np.asarray(scores).reshape(*x.shape, -1), following)
    print(f"{following.size} characters: perplexity {real:.3f} float, {integer:.3f} {target}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
