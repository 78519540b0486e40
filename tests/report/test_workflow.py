"""What `intaglio quantize` writes beside the Program: page, JSON, overlay and notes say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import intaglio as ig
from intaglio.workflow.quantize import quantize_job


@pytest.fixture(scope="module")
def written(images: np.ndarray, small_model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results, measured on labels of which some are wrong."""
    folder = tmp_path_factory.mktemp("job")
    graph = ig.load(small_model)
    labels = np.arange(len(images)) % 5
    summary = quantize_job(lambda: graph, images, folder, target="w4a8", eval_data=(images, labels))
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8")) == summary
    return folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_the_json_has_every_section(written: Path) -> None:
    summary = read(written, "summary.json")
    for key in (
        "float",
        "integer",
        "gates",
        "layers",
        "steps",
        "channels",
        "histograms",
        "costs",
        "values",
        "coverage",
    ):
        assert summary[key], key
    assert {"conv", "head"} <= set(summary["sensitivities"])
    confusion = summary["confusion"]
    assert confusion["samples"] == 32
    assert sum(confusion["outcomes"].values()) == 32
    assert sum(count for *_, count in confusion["cells"]) == 32
    assert len(confusion["differing"]) == min(confusion["changed"], 24)
    assert "report" in summary["seconds"]


def test_the_page_tells_of_the_same_samples(written: Path) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")
    confusion = read(written, "summary.json")["confusion"]
    assert page.count('src="data:image/png;base64,') == len(confusion["differing"])
    for sample in confusion["differing"]:
        assert f"sample {sample['number']}<" in page


def test_overlay_and_notes_belong_to_the_exported_model(written: Path) -> None:
    model = onnx.load(written / "model.qdq.onnx")
    nodes = {node.name: {p.key: p.value for p in node.metadata_props} for node in model.graph.node}
    (overlay,) = read(written, "model_explorer.json").values()
    assert set(overlay["results"]) <= set(nodes)
    ratios = {layer["name"]: layer["sqnr"] for layer in read(written, "summary.json")["layers"]}
    assert overlay["results"]["head"]["value"] == round(ratios["y"], 2)
    assert nodes["relu"]["intaglio.sqnr"].endswith(" dB")
    assert nodes["relu"]["intaglio.why"]
