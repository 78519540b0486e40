"""Every command on real files, as a user types it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
from intaglio.cli import main
from intaglio.frontends import read as read_module


def run_json(capsys, *argv):
    capsys.readouterr()
    assert main([str(a) for a in argv]) == 0
    return json.loads(capsys.readouterr().out)


def test_quantize_writes_everything_and_measures_the_integer_program(made, tmp_path, capsys):
    out = tmp_path / "out"
    summary = run_json(
        capsys, "quantize", made.model, "--data", made.data, "--eval", made.data, "-o", out, "--samples", 16, "--json"
    )
    names = {p.name for p in out.iterdir()}
    assert names == {
        "model.intaglio", "model.qdq.onnx", "model_explorer.json", "plan.json", "report.html", "summary.json",
    }  # fmt: skip
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary["float"] == {"metric": "top1", "value": 100.0, "samples": 48, "engine": "float"}
    assert summary["integer"]["engine"] == "native"
    assert summary["integer"]["value"] > 80
    assert summary["agreement"]["simulated and integer"] > 90
    # Parameters with parameters: of 4 bytes each, not the file with its graph and names.
    assert summary["bytes"]["float"] == sum(
        v.const_value.nbytes for v in ig.load(made.model).initializers if v.dtype.name == "FLOAT"
    )
    assert summary["bytes"]["integer"] < summary["bytes"]["float"]
    assert summary["gates"]["passed"]
    x = np.load(made.data)["x"]
    program = ig.load_program(out / "model.intaglio")
    measured = 100 * float((program.run(x).argmax(1) == np.load(made.data)["y"]).mean())
    assert summary["integer"]["value"] == pytest.approx(measured, abs=1e-3)


def test_quantize_prints_a_table_for_people(made, tmp_path, capsys):
    argv = ["quantize", made.model, "--data", made.data, "--eval", made.data, "-o", tmp_path, "--layer", "last=a16"]
    assert main([str(a) for a in argv]) == 0
    text = capsys.readouterr().out
    for word in ("float", "simulated", "integer", "top1", "time ", "model.intaglio", "Held-back samples: "):
        assert word in text
    body, ending = text.split("next:\n")
    assert all(len(line) < 100 or str(tmp_path) in line for line in body.splitlines())
    steps = [shlex.split(line, comments=True) for line in ending.splitlines()]
    commands = [["intaglio", "compile"], ["intaglio", "compile"], ["intaglio", "bench"]]
    assert [step[:2] for step in steps if step] == commands
    assert ["--app", str(made.data)] in [step[3:5] for step in steps]
    assert all(Path(step[2]).is_file() for step in steps if step)
    assert (tmp_path / "report.html").is_file()
    assert "report: open" in body
    assert "<h1>net.onnx</h1>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("shape", [["--example-shape", "1,3,8,8"], []], ids=["given", "of the data"])
def test_quantize_takes_a_pytorch_factory(made, tmp_path, shape):
    module = "cli_factory_for_test"
    (tmp_path / f"{module}.py").write_text(
        "import torch\n\ndef make():\n    torch.manual_seed(0)\n    return torch.nn.Sequential("
        "torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())\n"
    )
    command = [sys.executable, "-m", "intaglio", "quantize", f"{module}:make", *shape]
    done = subprocess.run(
        [*command, "--data", str(made.data), "-o", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.intaglio").exists()


def test_a_factory_without_shape_and_data_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "linear_for_test.py").write_text("import torch\n\ndef make():\n    return torch.nn.Linear(4, 2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["inspect", "linear_for_test:make"]) == 1
    assert "linear_for_test:make: a PyTorch factory needs --example-shape" in capsys.readouterr().err


def test_run_and_evaluate_agree_with_the_api(made, tmp_path, capsys):
    data = np.load(made.data)
    np.save(tmp_path / "x.npy", data["x"])
    assert (
        main(["run", str(made.program), "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")]) == 0
    )
    y = np.load(tmp_path / "y.npy")
    program = ig.load_program(made.program)
    np.testing.assert_array_equal(y, program.run(data["x"]))
    score = run_json(capsys, "evaluate", made.program, "--data", made.data, "--limit", 20, "--json")
    expected = 100 * float((y[:20].argmax(1) == data["y"][:20]).mean())
    assert score == {"metric": "top1", "value": pytest.approx(expected, abs=1e-3), "samples": 20, "engine": "reference"}


def test_run_on_integers(made, tmp_path):
    program = ig.load_program(made.program)
    codes = program.quantize_inputs(np.load(made.data)["x"])[0]
    np.save(tmp_path / "x.npy", codes)
    argv = ["run", made.program, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--integers"]
    assert main([str(a) for a in argv]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), program.run_int(codes))


def test_evaluate_takes_float_and_quantized_onnx(made, capsys):
    score = run_json(capsys, "evaluate", made.model, "--data", made.data, "--json")
    assert (score["engine"], score["value"]) == ("float", 100.0)
    qdq = made.program.with_name("model.qdq.onnx")
    score = run_json(capsys, "evaluate", qdq, "--data", made.data, "--json")
    assert score["engine"] == "simulate"


def test_evaluate_suggests_a_comparison_where_accuracy_fell(made, tmp_path, capsys):
    program = tmp_path / "model.intaglio"
    program.write_bytes(made.program.read_bytes())
    for text, suggested in (
        ('{"float": {"metric": "top1", "value": 102.5}}', True),
        ('{"float": {"metric": "top5", "value": 102.5}}', False),
        ('{"float": {"metric": "top1", "value": 50.0}}', False),
        ('{"float": null}', False),
        ("[1]", False),
        ("not JSON", False),
    ):
        (tmp_path / "summary.json").write_text(text)
        assert main(["evaluate", str(program), "--data", str(made.data)]) == 0
        assert (f"  intaglio compare FLOAT {program} --data {made.data}\n" in capsys.readouterr().out) == suggested


def test_each_onnx_file_is_read_once(made, capsys, monkeypatch):
    read, read_file = [], read_module._read_file
    quantized = made.folder / "out" / "model.qdq.onnx"
    monkeypatch.setattr(read_module, "_read_file", lambda path: (read.append(path.name), read_file(path))[1])
    for command, *names in (("evaluate", made.model), ("evaluate", quantized), ("compare", made.model, quantized)):
        read.clear()
        assert main([command, *map(str, names), "--data", str(made.data), "--json"]) == 0
        assert read == [path.name for path in names]
    capsys.readouterr()


def test_compare_layer_by_layer(made, capsys):
    facts = run_json(capsys, "compare", made.model, made.program, "--data", made.data, "--json")
    assert facts["agreement"] > 80
    sqnr = {layer["name"]: layer["sqnr"] for layer in facts["layers"]}
    assert len(sqnr) >= 4
    assert min(v for v in sqnr.values() if v is not None) > 15
    same = run_json(capsys, "compare", made.program, made.program, "--data", made.data, "--json")
    assert same["agreement"] == 100.0
    assert all(layer["sqnr"] is None and layer["equal"] == 100.0 for layer in same["layers"])


def test_inspect_a_program_and_a_network(made, capsys):
    facts = run_json(capsys, "inspect", made.program, "--json")
    assert facts["macs"] == 8 * 8 * 8 * 27 + 8 * 8 * 8 * 72 + 4 * 8
    assert not any(o["input_sums"] for o in facts["operators"])  # symmetric weights: no run-time price
    facts = run_json(capsys, "inspect", made.model, "--json")
    assert facts["blockers"] == []
    assert all(v["why"] for v in facts["values"])
    assert main(["inspect", str(made.program)]) == 0
    assert main(["inspect", str(made.model)]) == 0


def test_inspect_draws_the_arena(made, tmp_path, capsys):
    for machine in ("portable", "cortex-m4"):
        svg = tmp_path / f"{machine}.svg"
        facts = run_json(capsys, "inspect", made.program, "--machine", machine, "--arena", svg, "--json")
        assert facts["arena"]["machine"] == machine
        assert 0 < facts["arena"]["lower_bound"] <= facts["arena"]["bytes"]
        assert facts["arena"]["constant_bytes"] > 0
        assert svg.read_text().startswith("<svg")
    assert main(["inspect", str(made.program), "--machine", "portable"]) == 0
    assert "arena on portable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--machine", "pdp-11"], "machine: expected one of"), (["--arena", "no/such/folder/a.svg"], "cannot be written")],
)
def test_inspect_reports_a_bad_machine_or_file(made, capsys, arguments, words):
    assert main(["inspect", str(made.program), *arguments]) == 1
    assert words in capsys.readouterr().err


def test_inspect_shows_the_price_of_asymmetric_weights(made, tmp_path, capsys):
    argv = ["quantize", made.model, "--data", made.data, "-o", tmp_path, "--target", "uint8-asymmetric"]
    assert main([str(a) for a in argv]) == 0
    facts = run_json(capsys, "inspect", tmp_path / "model.intaglio", "--json")
    conv = next(o for o in facts["operators"] if o["operator"] == "conv2d")
    assert conv["input_sums"] == conv["macs"] // 8  # one sum per output position, shared by 8 output channels


def test_targets_and_doctor(capsys):
    names = {t["name"] for t in run_json(capsys, "targets", "--json")}
    assert {"cpu-int8", "tflite-int8", "power2-int8"} <= names
    assert main(["targets"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in names)
    assert main(["targets", "tflite-int8"]) == 0
    text = capsys.readouterr().out
    assert "Softmax" in text
    assert max(map(len, text.splitlines())) <= 80
    facts = run_json(capsys, "doctor", "--json")
    assert facts["packages"]["numpy"] == np.__version__
    assert main(["doctor"]) == 0


def test_running_a_program_loads_neither_torch_nor_onnx(made, tmp_path):
    np.save(tmp_path / "x.npy", np.load(made.data)["x"])
    code = (
        "import sys\nfrom intaglio.cli import main\n"
        f"assert main(['run', {str(made.program)!r}, '--input', 'x.npy', '--output', 'y.npy']) == 0\n"
        f"assert main(['evaluate', {str(made.program)!r}, '--data', {str(made.data)!r}]) == 0\n"
        "assert not {'torch', 'onnx', 'onnx_ir', 'pydantic'} & set(sys.modules), sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["quantize", "run", "evaluate", "compare", "inspect", "targets", "doctor"])
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: intaglio" in capsys.readouterr().out


def test_an_error_is_measured_against_real_targets(capsys, made, tmp_path):
    x = np.load(made.data)["x"]
    y = ig.load_program(made.program).run(x) + 0.5
    np.savez(tmp_path / "targets.npz", x=x, y=y)
    score = run_json(capsys, "evaluate", made.program, "--data", tmp_path / "targets.npz", "--metric", "mse", "--json")
    assert score["value"] == pytest.approx(0.25, rel=1e-4)
    np.savez(tmp_path / "nan.npz", x=x, y=np.full_like(y, np.nan))
    assert main(["evaluate", str(made.program), "--data", str(tmp_path / "nan.npz"), "--metric", "mse"]) == 1
    assert "targets must be finite" in capsys.readouterr().err


def test_the_opset_of_the_qdq_file_is_chosen(made, fails, tmp_path, capsys):
    onnx = pytest.importorskip("onnx", reason="needs onnx (extra `quantize`)")
    argv = ["quantize", made.model, "--data", made.data, "-o", tmp_path / "out", "--samples", 8]
    assert "opset: expected 13" in fails(*argv, "--opset", 12)
    assert "ir_version: expected 7" in fails(*argv, "--ir-version", 99)
    assert main([str(a) for a in [*argv, "--opset", 21, "--ir-version", 10]]) == 0
    model = onnx.load(tmp_path / "out" / "model.qdq.onnx")
    assert (model.opset_import[0].version, model.ir_version) == (21, 10)


def test_an_edited_plan_is_used_again(made, fails, tmp_path, capsys):
    argv = ["quantize", made.model, "--data", made.data, "--samples", 16, "--no-equalize"]
    assert main([str(a) for a in [*argv, "--calibrator", "max", "-o", tmp_path / "a"]]) == 0
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    own = [v for v in plan["values"] if v["source"] == "own" and v["role"] == "activation"]
    own[1]["calibrator"] = "mse"
    (tmp_path / "edited.json").write_text(json.dumps(plan))
    again = [*argv, "--plan", tmp_path / "edited.json", "-o", tmp_path / "b"]
    assert main([str(a) for a in again]) == 0
    written = ig.load_plan(tmp_path / "b" / "plan.json")
    assert written[own[1]["name"]].calibrator == "mse"
    assert written[own[0]["name"]].calibrator == "max"
    own[1]["format"]["type"] = "int4"
    (tmp_path / "edited.json").write_text(json.dumps(plan))
    capsys.readouterr()
    assert "plan: " in (text := fails(*again))
    assert "4 bits" in text
    assert "none.json: expected a Plan such as plan.json" in fails(
        *argv, "--plan", tmp_path / "none.json", "-o", tmp_path / "c"
    )
    assert "expected no layer beside a Plan" in fails(*again, "--layer", "first=a16")
    assert not (tmp_path / "c").exists()
