"""A teacher's scores and features as losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import DataError, UsageError
from intaglio.train.distill import (
    capture,
    distillation,
    feature_distance,
    feature_loss,
    stage_ends,
)
from intaglio.train.teacher import FloatModule


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 3),
    )  # fmt: skip


def test_distillation_is_the_papers_formula() -> None:
    student, teacher, temperature = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[3.0, -1.0, 0.5]]), 2.0
    p = [math.exp(v / temperature) for v in teacher[0].tolist()]
    q = [math.exp(v / temperature) for v in student[0].tolist()]
    p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
    want = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert distillation(student, teacher, temperature).item() == pytest.approx(want, rel=1e-5)
    assert distillation(teacher, teacher + 7.0).item() == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_of_distillation_is_that_of_the_paper() -> None:
    """Hinton et al. 2015, eq. (2), times T^2: dL/dz = T (q - p), over the number of samples."""
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    distillation(student, teacher, 3.0).backward()
    want = 3.0 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)) / 5
    torch.testing.assert_close(student.grad, want.detach())
    assert teacher.grad is None


def test_the_size_of_the_gradient_does_not_fall_with_the_temperature() -> None:
    torch.manual_seed(0)
    teacher, sizes = torch.randn(8, 10), []
    for temperature in (10.0, 100.0):
        student = torch.zeros(8, 10, requires_grad=True)
        distillation(student, teacher, temperature).backward()
        assert student.grad is not None
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_feature_distances_are_relative() -> None:
    teacher = torch.tensor([[3.0, 4.0]])
    assert feature_distance(torch.zeros(1, 2), teacher).item() == 1.0
    assert feature_distance(torch.tensor([[3.0, 3.0]]), teacher).item() == pytest.approx(1 / 25)


def test_features_of_student_and_teacher_have_the_same_names() -> None:
    net = network()
    qat = ig.prepare_qat(net, torch.zeros(1, 1, 8, 8))
    teacher, x = FloatModule(qat.graph), torch.randn(4, 1, 8, 8)
    names = stage_ends(qat.graph)
    assert len(names) == 2
    with capture(qat, names) as mine, capture(teacher, names) as theirs:
        torch.testing.assert_close(teacher(x), net(x))
        loss = distillation(qat(x), teacher(x)) + feature_loss(mine, theirs)
    assert qat.observe is None and teacher.observe is None
    torch.testing.assert_close(theirs[names[0]], net[1](net[0](x)).detach())
    loss.backward()
    assert all(p.grad is not None for name, p in qat.named_parameters() if name.endswith("weight"))
    assert not list(teacher.parameters())


def test_a_student_comes_near_its_teacher() -> None:
    qat = ig.prepare_qat(network(), torch.zeros(1, 1, 8, 8), "w4a8")
    teacher, x = FloatModule(qat.graph), torch.randn(16, 1, 8, 8)
    names = stage_ends(qat.graph)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in qat.named_parameters():
            if name.endswith("weight"):
                p += 0.1 * torch.randn(p.shape, generator=generator)
    optimizer = torch.optim.Adam(qat.parameters(), lr=0.003)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        with capture(qat, names) as mine, capture(teacher, names) as theirs:
            loss = distillation(qat(x), teacher(x)) + feature_loss(mine, theirs)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_features_of_any_module_are_outputs_of_its_parts() -> None:
    net, x = network(), torch.randn(2, 1, 8, 8)
    with capture(net, ["0", "4"]) as features:
        net(x)
    torch.testing.assert_close(features["0"], net[0](x))
    features.clear()
    net(x)
    assert not features


def test_incomparable_stages_are_refused() -> None:
    with pytest.raises(DataError, match="of the same shape"):
        distillation(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(UsageError, match="temperature above 0"):
        distillation(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)
    with pytest.raises(UsageError, match=r"names of submodules, got 9; there are .*0"), capture(network(), ["9"]):
        pass
    with pytest.raises(DataError, match="same names"):
        feature_loss({}, {})
