"""What commands print for people: lines that fit, terms that are explained, and commands that can be run next."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from intaglio.cli import main

# command -> the beginning of what it says to run next
NEXT = {
    "compare {model} {program} --data {data}": ["sensitivity {model}"],
    "sensitivity {model} --data {data} --calibrator max -o s.json": ["quantize {model}"],
    "inspect {model}": ["quantize {model}"],
    "inspect {program}": ["compile {program}"],
    "bench {program} --peers= --rounds 1": ["bench {program} --float", "bench {program} --profile"],
    "evaluate {program} --data {data}": [],
    "doctor": [],
}


@pytest.mark.parametrize("line", NEXT)
def test_lines_fit_and_the_commands_to_run_next_exist(line, made, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("net.onnx", "data.npz", "model.intaglio"):
        found = next(made.folder.rglob(name))
        Path(name).write_bytes(found.read_bytes())
    names = {"model": "net.onnx", "program": "model.intaglio", "data": "data.npz"}
    capsys.readouterr()
    assert main(line.format(**names).split()) == 0
    out = capsys.readouterr().out
    body, _, ending = out.partition("next:\n")
    assert max(map(len, body.splitlines())) < 100
    assert "dB" not in body or "SQNR: signal-to-quantization-noise ratio" in body
    steps = [step for text in ending.splitlines() if (step := shlex.split(text, comments=True))]
    assert [" ".join(step)[: len(want) + 9] for step, want in zip(steps, _wanted(line, names), strict=True)] == [
        f"intaglio {want}" for want in _wanted(line, names)
    ]


def _wanted(line: str, names: dict[str, str]) -> list[str]:
    return [text.format(**names) for text in NEXT[line]]
