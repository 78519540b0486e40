"""`inspect`: what it shows of programs, and the exit status of `--strict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def test_programs_show_the_bits_of_their_sums_and_an_estimate_of_energy(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(made.program), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    products = [o for o in facts["operators"] if o["macs"]]
    assert products
    assert all(16 < o["accumulator_bits"] <= 32 == o["accumulator"] for o in products)
    assert main(["inspect", str(made.program)]) == 0
    out = capsys.readouterr().out
    heading = next(line for line in out.splitlines() if line.startswith("node "))
    assert "sum bits  held in" in heading
    for operator in products:
        row = next(line for line in out.splitlines() if line.startswith(operator["name"]))
        assert f"{operator['accumulator_bits']}  int32" in row
    assert "Energy of one run, estimated: " in out
    assert max(map(len, out.splitlines()[1:])) < 100
