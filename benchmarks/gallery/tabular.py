"""Tables of numbers and categories, recommendation, control."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gallery.network import Network, numbers, tokens

FIELD = "tabular, control"


class Mlp(nn.Sequential):
    """Linear layers, batch norm, ReLU."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(12, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, 3),
        )


class Selu(nn.Sequential):
    """A self-normalizing network with a softmax."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 32), nn.SELU(), nn.Linear(32, 32), nn.SELU(), nn.Linear(32, 4), nn.Softmax(1))


class DeepFm(nn.Module):
    """Embeddings of categories, their products in pairs, and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(40, 8), nn.Embedding(40, 1)
        self.deep = nn.Sequential(nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, ids: Tensor) -> Tensor:
        """(n, 6) to probabilities (n, 1)."""
        x = self.table(ids)
        pairs = 0.5 * (x.sum(1).square() - x.square().sum(1)).sum(1, keepdim=True)
        return torch.sigmoid(self.linear(ids).sum(1) + pairs + self.deep(x.flatten(1)))


class WideAndDeep(nn.Module):
    """Numbers and categories side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 4)
        self.layers = nn.Sequential(nn.Linear(6 + 8, 24), nn.ReLU(), nn.Linear(24, 2))

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """(n, 6) and (n, 2) to (n, 2)."""
        return self.layers(torch.cat([x, self.table(ids).flatten(1)], 1))


class CrossNet(nn.Module):
    """Deep and cross network: products with the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.last = nn.ModuleList(nn.Linear(12, 12) for _ in range(2)), nn.Linear(12, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 12) to (n, 1)."""
        y = x
        for layer in self.layers:
            y = x * layer(y) + y
        return self.last(y)


class TabTransformer(nn.Module):
    """Every number becomes a token (FT-Transformer)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8, width)), nn.Parameter(0.5 * torch.randn(8, width))
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.layer = nn.TransformerEncoderLayer(
            width, 2, 32, batch_first=True, norm_first=True, dropout=0.0, activation="gelu"
        )
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 8) to (n, 2)."""
        x = x[..., None] * self.weight + self.bias
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1)
        return self.last(self.layer(x)[:, 0])


class Gated(nn.Module):
    """TabNet's gated linear units, scaled by the root of a half."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.first = nn.BatchNorm1d(10), nn.Linear(10, 32)
        self.layers, self.last = nn.ModuleList(nn.Linear(16, 32) for _ in range(2)), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 10) to (n, 2)."""
        y = nn.functional.glu(self.first(self.norm(x)))
        for layer in self.layers:
            y = (y + nn.functional.glu(layer(y))) * 0.5**0.5
        return self.last(torch.relu(y))


class Experts(nn.Module):
    """A mixture of experts with a soft gate."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)) for _ in range(3))
        self.gate = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 12) to (n, 4)."""
        weights = torch.softmax(self.gate(x), 1)
        return (torch.stack([expert(x) for expert in self.experts], 1) * weights[..., None]).sum(1)


class Policy(nn.Module):
    """An actor with bounded actions and a critic."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.action, self.value = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 10) to actions (n, 3) and a value (n, 1)."""
        y = self.body(x)
        return torch.tanh(self.action(y)), self.value(y)


class Dueling(nn.Module):
    """A dueling Q network: the value plus advantages without their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.value, self.advantage = (
            nn.Sequential(nn.Linear(10, 32), nn.ReLU()),
            nn.Linear(32, 1),
            nn.Linear(32, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 10) to (n, 5)."""
        y = self.body(x)
        a = self.advantage(y)
        return self.value(y) + a - a.mean(1, keepdim=True)


NETWORKS = [
    Network("mlp", FIELD, Mlp, [numbers(12)]),
    Network("selu_softmax", FIELD, Selu, [numbers(12)]),
    Network("deep_fm", FIELD, DeepFm, [tokens(6, 40)]),
    Network("wide_and_deep", FIELD, WideAndDeep, [numbers(6), tokens(2, 20)]),
    Network("cross_net", FIELD, CrossNet, [numbers(12)]),
    Network("tab_transformer", FIELD, TabTransformer, [numbers(8)]),
    Network("tabnet_glu", FIELD, Gated, [numbers(10)]),
    Network("experts", FIELD, Experts, [numbers(12)]),
    Network("policy", FIELD, Policy, [numbers(10)]),
    Network("dueling_q", FIELD, Dueling, [numbers(10)]),
]
