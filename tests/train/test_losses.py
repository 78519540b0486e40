"""The loop's loss: labels, a teacher's scores, and the features in which blocks end."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from intaglio.errors import UsageError
from intaglio.train.distill import block_ends, distillation, feature_distance
from intaglio.train.loop.losses import Loss
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule


class Blocks(torch.nn.Module):
    """A residual block, a stage of half the resolution, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.inner = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.down = torch.nn.Conv2d(4, 6, 3, 2, 1)
        self.fc = torch.nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.inner(x))
        x = torch.relu(self.down(x))
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def qat():
    torch.manual_seed(3)
    return prepare_qat(Blocks(), torch.zeros(1, 3, 8, 8), "w4a8")


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn((6, 3, 8, 8), generator=generator), torch.randint(0, 5, (6,), generator=generator)


def test_blocks_end_behind_residual_sums_and_before_another_resolution(qat) -> None:
    ends = block_ends(qat.graph)
    producers = [qat.graph.value(name).producer() for name in ends]
    assert [node.op_type for node in producers] == ["Relu", "Relu"]
    assert [node.inputs[0].producer().op_type for node in producers] == ["Add", "Conv"]


def test_copies_in_a_narrow_format_do_not_end_a_block(qat) -> None:
    narrow = prepare_qat(Blocks(), torch.zeros(1, 3, 8, 8), "w2a2")
    assert any(node.op_type == "Clip" for node in narrow.graph.nodes)
    assert block_ends(narrow.graph) == block_ends(qat.graph)


def test_the_loss_is_the_sum_of_its_parts(qat) -> None:
    (x, labels), teacher = batch(), FloatModule(qat.graph)
    loss = Loss(TrainSettings(distill=0.3, temperature=2.0, distill_features=7.0), qat, teacher)
    with loss.watching():
        got = loss(qat(x), labels, (x,))
        again = loss(qat(x), labels, (x,))
    seen: list[dict[str, torch.Tensor]] = []
    for module in (qat, teacher):
        features: dict[str, torch.Tensor] = {}
        module.observe = features.__setitem__
        y = module(x)
        module.observe = None
        seen.append({**features, "y": y})
    mine, theirs = seen
    apart = [feature_distance(mine[name], theirs[name]) for name in block_ends(qat.graph)]
    want = (
        0.7 * F.cross_entropy(mine["y"], labels) + 0.3 * distillation(mine["y"], theirs["y"], 2.0) + 7 * sum(apart) / 2
    )
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(again, want)
    assert qat.observe is None and teacher.observe is None
    got.backward()
    assert qat.get_parameter("stem.weight").grad.abs().max() > 0


def test_features_need_a_teacher_with_the_same_values(qat) -> None:
    settings = TrainSettings(distill_features=5.0)
    with pytest.raises(UsageError, match=r"expected a teacher .* no teacher"):
        Loss(settings, qat)
    with pytest.raises(UsageError, match="--teacher float"):
        Loss(settings, qat, torch.nn.Linear(2, 5))
    flat = prepare_qat(torch.nn.Linear(4, 3), torch.zeros(1, 4), "w4a8")
    with pytest.raises(UsageError, match="expected an image network"):
        Loss(settings, flat, FloatModule(flat.graph))


class Probabilities(Blocks):
    """Scores behind a softmax, as networks for microcontrollers have them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(8 * super().forward(x), 1)


def test_scores_are_the_input_of_the_softmax() -> None:
    """Its rounded probabilities are 0 and 1 here: they have no gradient."""
    torch.manual_seed(3)
    (x, labels), qat = batch(), prepare_qat(Probabilities(), torch.zeros(1, 3, 8, 8), "cpu-int8")
    teacher = FloatModule(qat.graph)
    loss = Loss(TrainSettings(distill=0.5, temperature=2.0), qat, teacher)
    with loss.watching():
        got = loss(qat(x), labels, (x,))
    logits: dict[str, torch.Tensor] = {}
    (before,) = (str(node.inputs[0].name) for node in qat.graph.nodes if node.op_type == "Softmax")
    for module in (qat, teacher):
        module.observe = logits.__setitem__
        module(x)
        module.observe = None
        logits[type(module).__name__] = logits[before]
    mine, theirs = logits["QuantizedModule"], logits["FloatModule"]
    want = 0.5 * F.cross_entropy(mine, labels) + 0.5 * distillation(mine, theirs, 2.0)
    torch.testing.assert_close(got, want)


def test_a_module_as_teacher_gives_the_loss_of_its_graph() -> None:
    torch.manual_seed(3)
    (x, labels), net = batch(), Probabilities().eval()
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8), "cpu-int8")
    settings = TrainSettings(distill=1.0, temperature=1.0)
    losses = []
    for teacher in (net, FloatModule(qat.graph)):
        loss = Loss(settings, qat, teacher)
        with loss.watching():
            losses.append(loss(qat(x), labels, (x,)).item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
