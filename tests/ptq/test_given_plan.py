"""A Plan that is given: what it says is done, or refused by value and key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import PlanError, UsageError
from intaglio.number import QuantParams
from intaglio.plan import Source

X = np.random.default_rng(0).normal(size=(16, 3, 8, 8)).astype(np.float32)


def network(width: int = 16) -> ig.Graph:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU(), nn.Conv2d(width, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip
    return ig.load(net.eval(), torch.zeros(1, 3, 8, 8))


@pytest.fixture(scope="module")
def graph() -> ig.Graph:
    return network()


@pytest.fixture(scope="module")
def plain(graph: ig.Graph) -> ig.Quantized:
    return ig.quantize(graph, X, "int8-symmetric", calibrator="max", equalize=False, bias_correction=False)


@pytest.fixture
def data(plain: ig.Quantized) -> dict[str, Any]:
    """The Plan as a person sees it, to be edited."""
    edited: dict[str, Any] = json.loads(plain.plan.to_json())
    return edited


def value(data: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(v for v in data["values"] if v["name"] == name)
    return found


def quantized(graph: ig.Graph, data: dict[str, Any], **more: Any) -> ig.Quantized:
    plan = ig.Plan.from_json(json.dumps(data))
    return ig.quantize(graph, X, plan=plan, equalize=False, bias_correction=False, **more)


@pytest.mark.parametrize("target", ["cpu-int8", "tflite-int8", "w4a4", "w2a2", "xnor", "power2-int8"])
@pytest.mark.parametrize("choices", [{}, {"layers": {"last": "w8"}}, {"smooth": True}], ids=str)
def test_a_plan_that_nobody_edited_gives_the_same_program(
    graph: ig.Graph, target: str, choices: dict[str, Any], tmp_path: Path
) -> None:
    made = ig.quantize(graph, X, target, calibrator="percentile-99.9", **choices)
    made.plan.save(tmp_path / "plan.json")
    choices = {key: choice for key, choice in choices.items() if key != "layers"}
    again = ig.quantize(graph, X, plan=tmp_path / "plan.json", **choices)
    np.testing.assert_array_equal(again.lower().run(X), made.lower().run(X))
    assert again.plan.target == target


def test_formats_and_calibrators_are_those_of_the_plan(graph: ig.Graph, data: dict[str, Any]) -> None:
    names = [v["name"] for v in data["values"] if v["role"] == "activation" and v["source"] == "own"]
    first, second = names[2:4]
    value(data, first)["format"]["type"] = "int16"
    value(data, first)["params"] = None
    value(data, second)["calibrator"] = "percentile-99"
    made = quantized(graph, data)
    assert str(made.plan[first].format) == "int16 symmetric per tensor"
    assert made.plan[second].calibrator == "percentile-99"
    assert made.plan[first].calibrator == "max"
    assert "formats and calibrators are those of the given Plan; parameters are found anew" in " ".join(made.history)
    made.lower().run(X)


def test_parameters_without_a_calibrator_stay(graph: ig.Graph, plain: ig.Quantized) -> None:
    plan = plain.plan.copy()
    name = graph.inputs[0].name
    assert name is not None
    kept = QuantParams(plain.plan[name].format.type, np.float32(0.125))  # type: ignore[union-attr]
    plan.values[name] = dataclasses.replace(plan[name], calibrator=None, params=kept)
    made = ig.quantize(graph, X * 0.5, plan=plan, equalize=False, bias_correction=False)
    assert made.plan.params(name) == kept
    assert made.plan[name].source is Source.FIXED
    others = [v.name for v in made.plan.calibrated() if v.params == plain.plan.params(v.name)]
    assert not others  # found anew on other data
    assert "1 value keeps its parameters, as it has no calibrator there" in " ".join(made.history)
    again = ig.quantize(graph, X, plan=made.plan, equalize=False, bias_correction=False)
    assert again.plan.params(name) == kept
    assert made.lower().tensors[name].params == kept


def test_weights_keep_given_parameters(graph: ig.Graph, plain: ig.Quantized) -> None:
    plan = plain.plan.copy()
    weight = next(v for v in plan.values.values() if v.role.value == "weight")
    assert weight.params is not None
    weight.params = dataclasses.replace(weight.params, scale=weight.params.scale * 2)
    weight.calibrator = None
    made = ig.quantize(graph, X, plan=plan, equalize=False, bias_correction=False)
    np.testing.assert_array_equal(made.plan.params(weight.name).scale, weight.params.scale)  # type: ignore[union-attr]
    made.lower().run(X)


def wrong(data: dict[str, Any]) -> dict[str, Any]:
    """Edits that a Plan cannot have; the text of each error."""
    names = [v["name"] for v in data["values"] if v["role"] == "activation" and v["source"] == "own"]
    shared = next(v["name"] for v in data["values"] if v["source"] == "shared")
    weight = next(v["name"] for v in data["values"] if v["role"] == "weight")
    return {
        "type": (names[1], {"format": {"type": "int4"}}, "has int8, int16, got a request for 4 bits"),
        "scheme": (
            names[1],
            {"format": {"scheme": "asymmetric"}},
            f"[value {names[1]!r}] format: expected int8 symmetric",
        ),
        "shared": (
            shared,
            {"format": {"type": "int16"}},
            f"[value {shared!r}] format: expected int8 symmetric per tensor",
        ),
        "input": (names[0], {"format": {"type": "int16"}}, "the first layer's result that of the input"),
        "source": (names[1], {"source": "shared", "of": [names[0]]}, f"[value {names[1]!r}] source: expected own"),
        "of": (shared, {"of": [names[0]]}, f"[value {shared!r}] of: expected"),
        "role": (weight, {"role": "bias"}, f"[value {weight!r}] role: expected weight"),
        "calibrator": (
            names[1],
            {"calibrator": "astrology"},
            f"[value {names[1]!r}] calibrator: expected auto or one of",
        ),
        "source name": (names[1], {"source": "mine"}, f"[value {names[1]!r}] source: expected one of own, shared"),
        "type name": (names[1], {"format": {"type": "int7x"}}, f"[value {names[1]!r}] integer type: expected a name"),
        "key": (names[1], {"calibrater": "max"}, f"[value {names[1]!r}] expected the keys name, role,"),
        "nearest key": (names[1], {"calibrater": "max"}, "got 'calibrater'; did you mean 'calibrator'?"),
        "inner key": (names[1], {"params": {"sclae": 1.0}}, f"[value {names[1]!r}] params: expected the keys type,"),
        "text": (names[1], {"params": {"scale": "0.1"}}, f"[value {names[1]!r}] scale: expected numbers, got '0.1'"),
        "negative": (names[1], {"params": {"scale": -0.1}}, f"[value {names[1]!r}] scale: expected a finite value"),
        "count": (
            weight,
            {"params": {"scale": [0.1] * 3}},
            f"[value {weight!r}] zero point: expected as many as scales, got 16 beside 3 scales",
        ),
        "scales": (
            weight,
            {"calibrator": None, "params": {"scale": [1.0], "zero_point": [0]}},
            f"[value {weight!r}] params: expected scales of shape (16,), got (1,)",
        ),
        "kind": (
            names[1],
            {"calibrator": None, "params": {"type": "uint8"}},
            "params: expected parameters of its format",
        ),
    }


@pytest.mark.parametrize("edit", [
    "type", "scheme", "shared", "input", "source", "of", "role", "calibrator", "scales", "kind", "source name",
    "type name", "key", "nearest key", "inner key", "text", "negative", "count",
])  # fmt: skip
def test_edits_that_do_not_fit_are_named(graph: ig.Graph, data: dict[str, Any], edit: str) -> None:
    name, changes, text = wrong(data)[edit]
    found = value(data, name)
    for key, change in changes.items():
        found[key] = {**found[key], **change} if isinstance(change, dict) else change
    with pytest.raises(PlanError) as caught:
        quantized(graph, data)
    assert text in str(caught.value)


def test_a_deleted_key_is_named(graph: ig.Graph, data: dict[str, Any]) -> None:
    del data["values"][1]["why"]
    with pytest.raises(PlanError, match=r"plan: \[value '.*'\] expected the keys name, .*, got no 'why'"):
        quantized(graph, data)


def test_plans_of_other_networks_and_targets(graph: ig.Graph, data: dict[str, Any], plain: ig.Quantized) -> None:
    other = ig.load(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh()).eval(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(PlanError, match=r"values: .*; the Plan was made for another network or target"):
        quantized(other, data)
    data["values"] = [v for v in data["values"] if v["name"] != "2.weight"]
    with pytest.raises(PlanError, match=r"values: expected every value of the network, got none of '.*', which it has"):
        quantized(graph, data)
    with pytest.raises(
        PlanError, match=r"plan: target: expected 'tflite-int8', that of the target, got 'int8-symmetric'"
    ):
        ig.quantize(graph, X, "tflite-int8", plan=plain.plan)
    for operator in (changed := json.loads(plain.plan.to_json()))["operators"]:
        operator["integer"] = False
    with pytest.raises(PlanError, match=r"\[operator '.*'\] integer: expected true"):
        quantized(graph, changed)
    with pytest.raises(PlanError, match=r"accumulator: expected 64, that of the target, got 16"):
        quantized(graph, {**json.loads(plain.plan.to_json()), "accumulator": 16})
    with pytest.raises(PlanError, match="expected a built-in target, or the TOML file of target 'mine'"):
        quantized(graph, {**json.loads(plain.plan.to_json()), "target": "mine"})


@pytest.mark.parametrize(
    "choices",
    [
        {"layers": {"first": "a16"}},
        {"calibrator": "mse"},
        {"weight_calibrator": "mse"},
        {"max_drop": 1.0, "eval_data": X},
    ],
    ids=str,
)
def test_choices_that_the_plan_makes_are_refused(graph: ig.Graph, plain: ig.Quantized, choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"plan: expected no {next(iter(choices)).removesuffix('s')} beside a Plan"):
        ig.quantize(graph, X, plan=plain.plan, **choices)
