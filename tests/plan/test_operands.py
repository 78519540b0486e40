"""Products may read their data in a format of their own; what others read too stays wide."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import intaglio as ig
from intaglio.errors import TargetError
from intaglio.graph import Graph
from intaglio.graph.access import consumers
from intaglio.number import INT16, UINT8, IntType
from intaglio.plan import Plan, place, separate_operands
from intaglio.simulate import Simulator
from intaglio.targets import Target, load_target

UINT4 = IntType(4, signed=False)
W4A4 = load_target("w4a4")


class Net(nn.Module):
    """first - (second - third) + shortcut - pool - fourth - fifth, both read by a product behind moves - last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.third, self.shortcut = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.fourth, self.hidden, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(128, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.third(torch.relu(self.second(x))) + self.shortcut(x))
        x = torch.relu(self.fourth(torch.max_pool2d(x, 2)))
        return self.last(torch.relu(self.hidden(torch.flatten(x, 1))))


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    return ig.load(Net().eval(), torch.zeros(1, 3, 8, 8))


def placed(graph: Graph, target: Target = W4A4, **layers: str) -> tuple[Graph, Plan]:
    separate = separate_operands(graph, target, layers)
    return separate, place(separate, target, layers=layers)


def reader(graph: Graph, weight: str) -> str:
    """Name of the node that has a weight."""
    return str(consumers(graph.value(weight))[0].name)


def reads(graph: Graph, plan: Plan) -> dict[str, IntType]:
    """The type of what each product reads, by the name of its weight."""
    products = [node for node in graph.nodes if node.op_type in ("Conv", "Gemm", "MatMul")]
    return {str(n.inputs[1].name): plan.root(str(n.inputs[0].name)).format.type for n in products}


def test_every_product_but_the_ends_reads_the_products_format(graph: Graph) -> None:
    found = reads(*placed(graph))
    assert found.pop("first.weight") == found.pop("last.weight") == UINT8
    assert set(found.values()) == {UINT4} and len(found) == 5


def test_one_clip_serves_the_products_that_share_a_value_with_others(graph: Graph) -> None:
    separate, plan = placed(graph)
    (clip,) = (node for node in separate.nodes if node.op_type == "Clip")
    assert [str(node.inputs[1].name) for node in consumers(clip.outputs[0])] == ["second.weight", "shortcut.weight"]
    stream = str(clip.inputs[0].name)
    assert plan.root(stream).format.type == UINT8
    assert Counter(node.op_type for node in consumers(separate.value(stream)))["Add"] == 1
    assert any("read as uint4" in sentence for sentence in separate.history)
    assert "as only products read it" in plan[str(clip.outputs[0].name)].why


def test_sums_and_scores_keep_their_formats(graph: Graph) -> None:
    separate, plan = placed(graph)
    adds = [node for node in separate.nodes if node.op_type == "Add"]
    assert plan.root(str(adds[0].outputs[0].name)).format.type == UINT8
    assert plan.root(str(separate.outputs[0].name)).format.type == INT16
    assert plan.root(str(separate.inputs[0].name)).format.type == UINT8


def test_a_value_passes_moves_on_its_way_to_products(graph: Graph) -> None:
    """Pools and reshapes keep their input's grid, so it is their input that is written in 4 bits."""
    separate, plan = placed(graph)
    pool = next(node for node in separate.nodes if node.op_type == "MaxPool")
    assert plan.root(str(pool.inputs[0].name)).format.type == UINT4
    gemm = next(node for node in separate.nodes if node.op_type == "Gemm")
    assert plan[str(gemm.inputs[0].name)].of and plan.root(str(gemm.inputs[0].name)).format.type == UINT4


def test_again_it_changes_nothing(graph: Graph) -> None:
    separate, plan = placed(graph)
    assert separate_operands(separate, W4A4) is separate
    assert place(separate, W4A4).to_json() == plan.to_json()


def test_the_function_stays(graph: Graph) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    before, after = (Simulator(g, None, "cpu").run(x)[0] for g in (graph, separate_operands(graph, W4A4)))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("target", ["cpu-int8", "w2a8", "binary"])
def test_targets_without_such_a_format_change_nothing(graph: Graph, target: str) -> None:
    assert separate_operands(graph, load_target(target)) is graph


def test_a_layer_may_be_asked_to_read_more_bits(graph: Graph) -> None:
    node = reader(graph, "third.weight")
    separate, plan = placed(graph, **{node: "w8a8"})
    found = reads(separate, plan)
    assert found["third.weight"] == UINT8 and found["second.weight"] == found["fourth.weight"] == UINT4
    assert plan["third.weight"].format.type.bits == 8
    with pytest.raises(TargetError, match="data: target w4a4 has uint4, uint8, got a request for 16 bits"):
        placed(graph, **{node: "a16"})


def test_products_that_want_different_formats_of_one_value_get_them(graph: Graph) -> None:
    node = reader(graph, "shortcut.weight")
    found = reads(*placed(graph, **{node: "a8"}))
    assert found["shortcut.weight"] == UINT8 and found["second.weight"] == UINT4


def test_an_input_that_is_to_be_read_narrow_keeps_its_own_grid(graph: Graph) -> None:
    separate, plan = placed(graph, first="w8a4", last="w8")
    found = reads(separate, plan)
    assert found["first.weight"] == found["last.weight"] == UINT4
    assert plan.root("x").format.type == UINT8
    clip = consumers(separate.inputs[0])[0]
    assert clip.op_type == "Clip" and consumers(clip.outputs[0])[0].op_type == "Conv"


def test_what_is_asked_of_another_operator_is_its_result(graph: Graph) -> None:
    """The sum is written in 8 bits as asked, and read in 4 by the product behind it."""
    relu = [node for node in graph.nodes if node.op_type == "Relu"][2]
    separate, plan = placed(graph, **{str(relu.name): "a8"})
    assert plan.root(str(relu.outputs[0].name)).format.type == UINT8
    assert reads(separate, plan)["fourth.weight"] == UINT4
    assert sum(node.op_type == "Clip" for node in separate.nodes) == 2


def test_a_concatenation_that_only_products_read_is_joined_in_their_format() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)
            self.last = nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.a(x))
            x = self.c(torch.cat([torch.relu(self.b(x)), torch.relu(self.b(-x))], 1))
            return self.last(torch.relu(x))

    torch.manual_seed(0)
    separate, plan = placed(ig.load(Joined().eval(), torch.zeros(1, 3, 4, 4)))
    concat = next(node for node in separate.nodes if node.op_type == "Concat")
    for value in (*concat.inputs, *concat.outputs):
        assert plan.root(str(value.name)).format.type == UINT4
