"""Graphs, points and keypoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gallery.network import Network, adjacency, clip, image, numbers

FIELD = "graphs, points"


class Gcn(nn.Module):
    """Graph convolution by a dense adjacency matrix, which is an input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        """(n, nodes, 8) and (n, nodes, nodes) to (n, 3)."""
        y = torch.relu(links @ self.first(x))
        return self.last(torch.relu(links @ self.second(y)).mean(1))


class Gat(nn.Module):
    """Graph attention over fixed links, `masked_fill` of what is no neighbour."""

    def __init__(self, nodes: int = 10) -> None:
        super().__init__()
        self.first, self.source, self.goal = nn.Linear(8, 16), nn.Linear(16, 1), nn.Linear(16, 1)
        self.last = nn.Linear(16, 4)
        ring = (torch.arange(nodes)[:, None] - torch.arange(nodes)).abs()
        self.register_buffer("apart", (ring > 2) & (ring < nodes - 2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, nodes, 8) to (n, nodes, 4)."""
        y = self.first(x)
        scores = nn.functional.leaky_relu(self.source(y) + self.goal(y).transpose(1, 2), 0.2)
        weights = torch.softmax(scores.masked_fill(self.apart, -1e9), -1)
        return self.last(nn.functional.elu(weights @ y))


class PointNet(nn.Module):
    """PointNet with its 3 x 3 transform of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Sequential(nn.Conv1d(3, 16, 1), nn.BatchNorm1d(16), nn.ReLU())
        self.matrix = nn.Linear(16, 9)
        self.features = nn.Sequential(
            nn.Conv1d(3, 16, 1), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 32, 1), nn.BatchNorm1d(32)
        )
        self.last = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, points) to (n, 4)."""
        turn = self.matrix(self.turn(x).amax(2)).view(-1, 3, 3)
        moved = torch.bmm(turn, x)
        return self.last(self.features(moved).amax(2))


class StGcn(nn.Module):
    """ST-GCN: learned links between the joints of a skeleton by einsum, then convolution over time."""

    def __init__(self) -> None:
        super().__init__()
        self.links = nn.Parameter(torch.rand(2, 12, 12) / 6)
        self.space, self.time = nn.Conv2d(3, 32, 1), nn.Conv2d(16, 16, (5, 1), padding=(2, 0))
        self.last = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, t, 12) to (n, 5)."""
        y = self.space(x).unflatten(1, (2, 16))
        y = torch.einsum("nkctv,kvw->nctw", y, self.links)
        return self.last(torch.relu(self.time(torch.relu(y))).mean((2, 3)))


class Pose(nn.Module):
    """Keypoints as the mean place of a heat map (soft argmax)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 5, 3, 2, 1))
        self.register_buffer("places", torch.linspace(0, 1, 16))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, 64, 64) to (n, 5, 2)."""
        heat = torch.softmax(self.body(x).flatten(2), 2).unflatten(2, (16, 16))
        return torch.stack([(heat.sum(2) * self.places).sum(2), (heat.sum(3) * self.places).sum(2)], 2)


class VoxelNet(nn.Sequential):
    """3-D convolutions over a grid of voxels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(1, 8, 3, 2, 1),
            nn.BatchNorm3d(8),
            nn.ReLU(),
            nn.Conv3d(8, 16, 3, 2, 1),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.Flatten(),
            nn.Linear(128, 4),
        )


NETWORKS = [
    Network("gcn", FIELD, Gcn, [numbers(10, 8), adjacency(10)]),
    Network("gat", FIELD, Gat, [numbers(10, 8)]),
    Network("point_net", FIELD, PointNet, [numbers(3, 48)]),
    Network("st_gcn", FIELD, StGcn, [image((16, 12))]),
    Network("pose_soft_argmax", FIELD, Pose, [image()]),
    Network("voxel_net", FIELD, VoxelNet, [clip(16, 16, 1)]),
]
