"""What other viewers are given: an overlay that names nodes of the exported model, and notes in that model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest

import intaglio as ig
from intaglio.export import export_qdq
from intaglio.report import Facts
from intaglio.report.overlay import model_explorer_overlay, value_notes


def test_the_overlay_names_nodes_of_the_exported_model(
    quantized: ig.Quantized, full_facts: Facts, tmp_path: Path
) -> None:
    overlay = json.loads(json.dumps(model_explorer_overlay(quantized.graph, full_facts.layers), allow_nan=False))
    quantized.export(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert list(overlay) == [model.graph.name]
    data = overlay[model.graph.name]
    assert set(data) == {"results", "thresholds"}
    assert data["results"] == {"relu": {"value": 4.2}, "head": {"value": 38.5}}  # equal and no signal are no numbers
    assert set(data["results"]) <= {node.name for node in model.graph.node}
    bounds = [item["value"] for item in data["thresholds"]]
    assert bounds == sorted(bounds)
    assert bounds[-1] > 500  # nothing is above: what is has no colour
    for item in data["thresholds"]:
        assert set(item) == {"value", "bgColor", "textColor"}
        assert re.fullmatch("#[0-9a-f]{6}", item["bgColor"])


def test_notes_stand_in_the_file_and_change_nothing_else(
    quantized: ig.Quantized, full_facts: Facts, tmp_path: Path
) -> None:
    notes = value_notes(quantized.plan, full_facts)
    assert set(notes) == set(quantized.plan.values)
    quantized.export(tmp_path / "plain.onnx")
    export_qdq(quantized.graph, quantized.plan, tmp_path / "noted.onnx", notes=notes)
    plain, noted = onnx.load(tmp_path / "plain.onnx"), onnx.load(tmp_path / "noted.onnx")
    said = {node.output[0]: {p.key: p.value for p in node.metadata_props} for node in noted.graph.node}
    params = quantized.plan.params("r")
    assert params is not None
    note = {key.removeprefix("intaglio."): text for key, text in said["r"].items()}
    assert note["sqnr"] == "4.2 dB"
    assert float(note["scale"]) == float(params.scale)  # to the last digit
    assert int(note["zero_point"]) == int(params.zero_point)
    assert note["why"] == quantized.plan["r"].why
    assert said["p"]["intaglio.sqnr"] == "equal"
    assert " to " in said["conv.weight"]["intaglio.scale"]
    for model in (plain, noted):
        for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
            del part.metadata_props[:]
        del model.graph.value_info[:]
    assert plain.SerializeToString(deterministic=True) == noted.SerializeToString(deterministic=True)


def test_control_characters_stay_out_of_notes(hostile: ig.Quantized, hostile_facts: Facts) -> None:
    notes = value_notes(hostile.plan, hostile_facts)
    assert not [text for note in notes.values() for text in note.values() if not text.isprintable()]


def test_before_calibration_there_is_still_a_reason(quantized: ig.Quantized) -> None:
    plan = quantized.plan.copy()
    for value in plan.values.values():
        value.params = None
    note = value_notes(plan, Facts())["r"]
    assert "intaglio.scale" not in note
    assert note["intaglio.why"]


@pytest.mark.parametrize("layers", [[], None])
def test_nothing_measured_gives_an_empty_overlay(quantized: ig.Quantized, layers: list[object] | None) -> None:
    assert model_explorer_overlay(quantized.graph, layers or [])["small"]["results"] == {}
