"""`bench`, and the compiled engine of `run` and `evaluate`."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from intaglio_tests.onnxruntime_session import needs_to_read

import intaglio as ig
from intaglio.bench import peers
from intaglio.cli import main

QUICK = ("--rounds", "1")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def quick(monkeypatch):
    """Turns that are too short to say anything."""
    monkeypatch.setattr("intaglio.bench.rounds.TURN_SECONDS", 0.0)
    monkeypatch.setattr("intaglio.bench.rounds.WARM_SECONDS", 0.0)


def printed(capsys, *argv: object) -> str:
    assert main([str(a) for a in argv]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_native_run_equals_the_interpreter(made, tmp_path, capsys) -> None:
    x = np.load(made.data)["x"]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "q.npy", ig.load_program(made.program).quantize_inputs(x)[0])
    for options in (("--input", "x.npy"), ("--input", "q.npy", "--integers")):
        for engine in ("reference", "native"):
            printed(capsys, "run", made.program, *options, "--output", f"{engine}.npy", "--engine", engine)
        assert np.array_equal(np.load("native.npy"), np.load("reference.npy"))
        assert np.load("native.npy").dtype == np.load("reference.npy").dtype


def test_native_evaluation_is_that_of_the_interpreter(made, capsys) -> None:
    results = {}
    for engine in ("reference", "native"):
        out = printed(capsys, "evaluate", made.program, "--data", made.data, "--engine", engine, "--json")
        results[engine] = json.loads(out)
    assert results["native"]["engine"] == "native"
    assert results["native"] == {**results["reference"], "engine": "native"}


def test_a_float_network_has_no_native_engine(made, fails) -> None:
    assert "a float network is run by float" in fails("evaluate", made.model, "--data", made.data, "--engine", "native")


def test_bench_alone(made, capsys, quick) -> None:
    out = printed(capsys, "bench", made.program, "--peers", "", "--threads", "1,2", *QUICK)
    assert [line.split()[:4] for line in out.splitlines() if line.startswith("intaglio")] == [
        ["intaglio", "int8", "integers", "1"],
        ["intaglio", "int8", "float", "1"],
        ["intaglio", "int8", "integers", "2"],
        ["intaglio", "int8", "float", "2"],
    ]
    assert "  a second  " in out
    assert "Energy of one run, estimated: " in out
    assert "Horowitz" in out
    assert max(map(len, out.partition("next:")[0].splitlines()[2:])) < 100  # commands are never folded


def test_bench_names_missing_engines_and_what_to_do(made, capsys, quick, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "openvino" else find(name))
    result = json.loads(printed(capsys, "bench", made.program, "--json", *QUICK))
    assert result["absent"]["openvino"] == "not installed: pip install openvino"
    assert result["absent"]["torch"] == "needs the float network: --float model.onnx"
    assert set(result["absent"]) == {"onnxruntime", "openvino", "litert", "torch"}
    assert {row["engine"] for row in result["rows"]} == {"intaglio"}


def test_bench_beside_other_engines(made, capsys, quick) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra `peers`)")
    needs_to_read(made.model)
    argv = ("bench", made.program, "--float", made.model, "--peers", "onnxruntime,torch", "--profile", "--json", *QUICK)
    result = json.loads(printed(capsys, *argv))
    assert result["absent"] == {}
    rows = {(row["engine"], row["precision"], row["ends"]): row for row in result["rows"]}
    assert set(rows) == {
        ("intaglio", "int8", "integers"),
        ("intaglio", "int8", "float"),
        ("onnxruntime", "fp32", "float"),
        ("onnxruntime", "int8", "float"),
        ("onnxruntime", "int8", "integers"),
        ("torch", "fp32", "float"),
    }
    for (engine, _, ends), row in rows.items():
        assert 0 < row["quartiles_ns"][0] <= row["quartiles_ns"][1]
        if engine == "intaglio":
            assert row["ratio"] is None
        else:
            assert row["ratio"][0] == pytest.approx(row["median_ns"] / rows["intaglio", "int8", ends]["median_ns"])
    (profile,) = result["profiles"]
    assert sum(step["macs"] for step in profile["steps"]) > 0
    assert sum(step["share"] for step in profile["steps"]) == pytest.approx(1)


def test_bench_prints_a_ratio_and_a_profile_for_people(made, capsys, quick) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra `peers`)")
    needs_to_read(made.model)
    argv = ("bench", made.program, "--float", made.model, "--peers", "onnxruntime", "--profile", *QUICK)
    out = printed(capsys, *argv)
    assert "1 thread: onnxruntime int8, " in " ".join(out.split())
    assert "times as long as ours with integers" in " ".join(out.split())
    assert "% of peak" in out


def test_a_failing_peer_is_named_and_the_others_run(made, capsys, quick, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("segment 7\nmore")

    monkeypatch.setitem(peers.PEERS, "onnxruntime", broken)
    out = printed(capsys, "bench", made.program, "--float", made.model, "--peers", "onnxruntime,torch", *QUICK)
    assert "onnxruntime not timed: failed: RuntimeError: segment 7\n" in out
    assert "torch fp32" in out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--threads", "0"), "--threads: expected numbers such as 1,2, got '0'"),
        (("--threads", "two"), "--threads: expected numbers such as 1,2, got 'two'"),
        (("--rounds", "0"), "--rounds: expected at least 1, got 0"),
        (("--peers", "tensorrt"), "peers: expected some of onnxruntime, openvino, litert, torch, got tensorrt"),
        (("--float", "nowhere.onnx"), "nowhere.onnx: expected a model file"),
        (("--machine", "z80"), "machine: expected one of"),
        (("--cc", "no-such-compiler"), "no-such-compiler"),
    ],
)
def test_bad_arguments(made, fails, options, says) -> None:
    assert says in fails("bench", made.program, *options)


def test_a_file_that_is_not_a_program_is_refused(fails, tmp_path) -> None:
    (tmp_path / "x.intaglio").write_bytes(b"no program")
    assert "x.intaglio" in fails("bench", tmp_path / "x.intaglio")
