"""`inspect --strict`: scripts learn from the exit status whether every operator becomes integers."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from intaglio.cli.main import main


@pytest.mark.parametrize(("operator", "status"), [("Relu", 0), ("Det", 1)])
def test_strict_tells_whether_all_operators_become_integers(
    operator: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], name="node")], "net", [x], [y])
    path = str(tmp_path / "net.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    assert main(["inspect", path, "--json", "--strict"]) == status
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["blockers"]) == status
    assert status or {value["name"]: value["layer"] for value in facts["values"]} == {"x": "", "y": "node"}
    assert main(["inspect", path]) == 0
