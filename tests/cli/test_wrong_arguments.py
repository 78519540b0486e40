"""Wrong values of the arguments of every command: one line that says what was expected, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.cli.main import COMMANDS

MODELS = {
    "none.onnx": "none.onnx: expected a model file, got nothing there",
    "folder": "folder: expected a model file, got a directory",
    "net": "net: expected a model file, got nothing there; did you mean net.onnx?",
    "result": "result: expected a model file, got a directory; did you mean result/model.intaglio?",
    "text.txt": "text.txt: expected an ONNX model, got 5 bytes that are no ONNX",
    "data.npz": "data.npz: expected an ONNX model, got",
    "package:make": "package:make: expected to import 'package' from",
}
PROGRAMS = {
    "none.intaglio": "none.intaglio: cannot be read (No such file or directory); check the path",
    "none.onnx": "none.onnx: cannot be read (No such file or directory); check the path",
    "folder": "folder: cannot be read (Is a directory)",
    "result": "result: cannot be read (Is a directory); did you mean result/model.intaglio?",
    "text.txt": "text.txt: expected a .intaglio file, got 5 bytes",
    "net.onnx": "A float network becomes a program with `intaglio quantize`",
}
DATA = {
    "none": "none: expected data, got no such file or directory",
    "folder": "folder: no samples. Expected class folders with images, images, or .npy files",
    "text.txt": "text.txt: expected a directory of images or .npy files, a .parquet",
    "net.onnx": "net.onnx: expected a directory of images",
    "complex.npz": "complex.npz: expected real numbers, got an array of dtype complex128",
    "words.npz": "words.npz sample 0: expected samples of shape (3, 8, 8)",
    "bad.toml": "bad.toml: expected a TOML data descriptor, got one that cannot be read",
}
MODEL_OPTIONS: list[tuple[str, str]] = [
    ("--shape x", "--shape: expected NAME=1,3,H,W, got 'x'"),
    ("--shape x=0", "--shape: expected positive sizes such as 1,3,224,224, got '0'"),
    ("--shape nosuch=1,4", "shape of 'nosuch': expected one of the inputs ['x'], got no such name"),
    ("--constant nosuch=1", "constant 'nosuch': expected one of the inputs ['x'], got no such name"),
    ("--weights none", "expected --weights only beside package.module:factory"),
    ("--example-shape 1,3", "expected --example-shape only beside package.module:factory"),
]
METRIC: list[tuple[str, str]] = [
    ("--metric beauty", "metric: expected one of top1, top5, mse"),
    ("--metric no.such:thing", "no.such:thing: expected to import 'no.such' from"),
]
CALIBRATOR = [("--calibrator astrology", "calibrator: expected auto or one of max, moving-average")]
TARGET = [
    ("--target none", "target 'none': expected one of binary, cpu-int8"),
    ("--target folder", "or a TOML file (Is a directory)"),
    ("--target text.txt", "target text.txt: not valid TOML"),
]
SEARCH = "--max-drop 0 --eval data.npz --train data.npz"

BASE = {
    "quantize": "net.onnx --data data.npz -o out --samples 8",
    "train": "net.onnx --data data.npz -o out --steps 1 --batch 8",
    "evaluate": "net.onnx --data data.npz",
    "compare": "net.onnx p.intaglio --data data.npz",
    "sensitivity": "net.onnx --data data.npz -o s.json",
    "survey": "net.onnx --data data.npz --eval data.npz -o out",
    "inspect": "net.onnx",
    "compile": "p.intaglio -o out --no-build",
    "run": "p.intaglio --input x.npy --output y.npy",
    "bench": "p.intaglio --peers= --rounds 1 -o out",
    "sample": "digits -o out",
    "targets": "",
    "doctor": "",
}
WRONG: dict[str, list[tuple[str, str]]] = {
    "quantize": [
        *MODEL_OPTIONS, *METRIC, *CALIBRATOR, *TARGET,
        ("--input-range 0,1", "input-range: expected data none or synthesize"),
        ("--samples 0", "samples: expected at least 1, got 0"),
        ("--samples many", "--samples: expected a whole number, got 'many'; see `intaglio quantize --help`"),
        ("--eval none", "none: expected data, got no such file"),
        ("--eval x.npy", "x.npy: labels are needed and there are none"),
        ("--eval-limit 3", "--eval-limit: expected --eval DATA beside it, without which it has no effect"),
        ("--eval data.npz --eval-limit 0", "samples: expected at least 1, got 0"),
        ("--max-drop 1", "expected labelled data to measure the loss on, got none; give --eval"),
        ("--max-drop nan --eval data.npz", "max-drop: expected points of top1, 0 or more, got nan"),
        ("--train data.npz", "train: expected --max-drop beside --train"),
        ("--train-epochs 1", "--train-epochs: expected --train DATA beside it"),
        ("--train-steps 1", "--train-steps: expected --train DATA beside it"),
        (f"--train-epochs 0 {SEARCH}", "epochs: expected a number above 0, got 0"),
        (f"--train-steps 0 {SEARCH}", "steps: expected at least 1, got 0"),
        ("--metric mse --eval data.npz", "targets: expected shape"),
        ("--lower-is-better", "metric top1: expected no direction of a built-in metric"),
        ("--weight-calibrator astrology", "calibrator: expected auto or one of max"),
        ("--calibrator percentile-200", "got 'percentile-200'; did you mean percentile-"),
        ("--layer first", "--layer: expected PATTERN=FORMAT such as first=a16"),
        ("--layer first=q7", "layer 'first': expected a format such as w8a16"),
        ("--layer nosuch=w8", "layer 'nosuch': expected first, last or a pattern that names a layer"),
        ("--layer first=w4", "target cpu-int8 has int8n, got a request for 4 bits"),
        ("--ignored nosuch", "layer 'nosuch': expected first, last or a pattern that names a layer"),
        ("--rounding up", "rounding: expected one of nearest, gptq, adaround, blocks, got 'up'"),
        ("--iterations 5", "--iterations: expected --rounding adaround or blocks beside it"),
        ("--iterations 0 --rounding adaround", "iterations: expected at least 1, got 0"),
        ("--checkpoint c", "--checkpoint: expected --rounding adaround or blocks beside it"),
        ("--checkpoint c --max-drop 1 --eval data.npz", "--checkpoint: expected no --max-drop beside it, as a search"),
        ("--checkpoint folder --rounding adaround", "folder: expected a checkpoint of learned rounding"),
        ("--plan none", "none: expected a Plan such as plan.json, got one that cannot be read (No such file"),
        ("--plan folder", "folder: expected a Plan such as plan.json, got one that cannot be read (Is a directory)"),
        ("--plan text.txt", "text.txt: plan: not a Plan that `Plan.to_json` wrote"),
        ("--plan net.onnx", "net.onnx: expected a Plan such as plan.json"),
        ("--plan other.json", "plan: values: expected every value of the network, got none of"),
        ("--plan plan.json --calibrator mse", "plan: expected no calibrator beside a Plan"),
        ("--plan plan.json --target tflite-int8", "plan: target: expected 'tflite-int8', that of the target"),
        ("--opset 0", "opset: expected 13 (per-channel quantization) to"),
        ("--opset 99", "pip install -U onnx may bring newer ones, got 99"),
        ("--ir-version 1", "ir_version: expected 7 to"),
        ("-o text.txt", "text.txt: expected a folder that can be written"),
    ],
    "train": [
        *MODEL_OPTIONS, *METRIC, *CALIBRATOR, *TARGET,
        ("--eval none", "none: expected data, got no such file"),
        ("--eval-limit 3", "--eval-limit: expected --eval DATA beside it"),
        ("--method x", "method: expected one of range, lsq"),
        ("--weight-method x", "method: expected one of range, lsq"),
        ("--estimator x", "estimator: expected one of clipped, straight-through"),
        ("--weight-estimator x", "estimator: expected one of clipped, straight-through"),
        ("--resume", "out/checkpoint.pt: expected the checkpoint of an interrupted training, got no file"),
        ("--samples 0", "the number of samples must be at least 1, got 0"),
        ("--layer x", "--layer: expected PATTERN=FORMAT"),
        ("--epochs nan", "epochs: expected a number above 0, got nan"),
        ("--steps 0", "steps: expected at least 1, got 0"),
        ("--batch 0", "batch: expected at least 1, got 0"),
        ("--batch 1000", "batch: expected at most 44, the number of training samples, got 1000"),
        ("--optimizer x", "optimizer: expected sgd or adamw, got 'x'"),
        ("--lr 0", "lr: expected a number above 0, got 0.0"),
        ("--final-lr 2", "final-lr: expected a number from 0 to 1, got 2.0"),
        ("--warmup 2", "warmup: expected a number from 0 to 1, got 2.0"),
        ("--momentum 2", "momentum: expected a number from 0 to 1, got 2.0"),
        ("--weight-decay -1", "weight-decay: expected 0 or more, got -1.0"),
        ("--quantizer-lr -1", "quantizer-lr: expected a number above 0, got -1.0"),
        ("--label-smoothing 2", "label-smoothing: expected a number from 0 to 1, got 2.0"),
        ("--batch-norm x", "batch-norm: expected auto, revive, as-is, got 'x'"),
        ("--freeze-batch-norm 2", "freeze-batch-norm: expected a number from 0 to 1"),
        ("--freeze-ranges 2", "freeze-ranges: expected a number from 0 to 1"),
        ("--gradual x", "gradual: expected one of weights, noise, layers, got 'x'"),
        ("--gradual weights --gradual-end 2", "gradual: expected 0 <= start < end <= 1, got 0 and 2"),
        ("--teacher none.onnx", "none.onnx"),
        ("--teacher float --distill 2", "distill: expected a number from 0 to 1, got 2.0"),
        ("--distill 0.5", "distill: expected a teacher and the weight of its loss"),
        ("--teacher float --temperature 0", "temperature: expected a number above 0, got 0.0"),
        ("--augment x", "augment: expected crop or flip, got 'x'"),
        ("--pad -1", "pad: expected 0 or more, got -1"),
        ("--held-back 1000", "cannot hold back 1000 of 48 samples; hold back fewer"),
        ("--precision x", "precision: expected float32 or bf16, got 'x'"),
        ("--device x", "device: expected cpu or an existing GPU such as cuda:0, got x"),
    ],
    "evaluate": [
        *MODEL_OPTIONS, *METRIC,
        ("--engine warp", "--engine: expected one of"),
        ("--engine native", "engine: a float network is run by float, got 'native'"),
        ("--limit 0", "samples: expected at least 1, got 0"),
        ("--data x.npy", "x.npy: labels are needed and there are none"),
    ],
    "compare": [*MODEL_OPTIONS, ("--samples 0", "samples: expected at least 1, got 0")],
    "sensitivity": [
        *MODEL_OPTIONS[-2:], *CALIBRATOR, *TARGET,
        ("--metric beauty --eval data.npz", "metric: expected one of top1, top5, mse"),
        ("--samples 0", "samples: expected at least 1 for calibration and 1 held back, got 0"),
        ("--held-back 0", "samples: expected at least 1 for calibration and 1 held back"),
        ("--held-back 48", "held-back: expected fewer than 48, the number of samples in data.npz"),
        ("--held-back 1000", "so that some are left for calibration, got 1000; hold back fewer, or give more data"),
        ("--eval none", "none: expected data, got no such file"),
        ("--eval data.npz --limit 0", "samples: expected at least 1, got 0"),
        ("-o folder", "folder: expected to write the sensitivities of layers here, got: it is a folder"),
        ("-o text.txt/s.json", "expected to write the sensitivities of layers here, got"),
    ],
    "survey": [
        *MODEL_OPTIONS[-2:], *METRIC, *CALIBRATOR,
        ("--columns x", "target 'x': expected one of binary, cpu-int8"),
        ("--columns cpu-int8+magic", "columns: expected TARGET or TARGET+METHOD"),
        ("--columns cpu-int8 --input-range 0,1", "--input-range: expected one network without --columns beside it"),
        ("--train-steps 5", "--train-steps: expected --train DATA beside it"),
        ("--samples 0", "samples: expected at least 1, got 0"),
        ("--input-range x", "--input-range: expected LOW,HIGH such as 0,1"),
        ("--limit 0", "samples: expected at least 1, got 0"),
        ("-o text.txt", "text.txt: expected a folder that can be written"),
    ],
    "inspect": [
        *MODEL_OPTIONS, *TARGET,
        ("--arena a.svg", "--arena: expected a program, whose memory is planned, got a graph: net.onnx"),
    ],
    "compile": [
        ("--target mcu-int8", "unrecognized arguments: --target mcu-int8 (did you mean --machine?)"),
        ("--machine m4", "got 'm4'; did you mean cortex-m4?"),
        ("--machine cortex-m33", "got 'cortex-m33'; docs/code-generation.md says"),
        ("--machine z80", "machine: expected one of host, portable"),
        ("--name 1x", "--name: expected letters, digits and _"),
        ("--name clean", "--name: expected letters, digits and _"),
        ("--cc nosuchcc", "compiler 'nosuchcc': no such command"),
        ("--test-data none", "none: expected a .npy or .npz file, got one that cannot be read (No such file"),
        ("--test-data folder", "folder: expected a .npy or .npz file, got one that cannot be read (Is a directory)"),
        ("--test-data complex.npy", "input 'x': expected real numbers, got an array of complex128"),
        ("-o text.txt", "text.txt: expected a folder, got a file; choose another with -o"),
    ],
    "run": [
        ("--engine warp", "--engine: expected one of"),
        ("--input none", "none: expected a .npy or .npz file, got one that cannot be read (No such file"),
        ("--input folder", "folder: expected a .npy or .npz file, got one that cannot be read (Is a directory)"),
        ("--input text.txt", "text.txt: expected a .npy or .npz file, got one that cannot be read"),
        ("--input text.txt", "network takes them: a .npy with samples in axis 0, or a .npz with one array"),
        ("--input complex.npy", "input 'x': expected real numbers, got an array of complex128"),
        ("--integers", "input 'x': expected integers of type uint8, got an array of float32"),
        ("--output folder.npy", "folder.npy: cannot be written: Is a directory"),
        ("--output y.csv", "--output: expected a .npy or .npz file, got y.csv"),
        ("--output text.txt/y.npy", "text.txt/y.npy: cannot be written: Not a directory"),
    ],
    "bench": [
        ("--threads 0", "--threads: expected numbers such as 1,2, got '0'"),
        ("--threads x", "--threads: expected numbers such as 1,2, got 'x'"),
        ("--peers turbo", "peers: expected some of onnxruntime, openvino, litert, torch, got turbo"),
        ("--rounds 0", "--rounds: expected at least 1, got 0"),
        ("--machine z80", "machine: expected one of host, portable"),
        ("--cc nosuchcc", "compiler 'nosuchcc': no such command"),
        ("--float none", "none: expected a model file, got none; check the path"),
        ("--litert folder", "folder: expected a model file, got none; check the path"),
        ("-o text.txt", "expected a folder that can be written"),
    ],
    "sample": [
        ("-o text.txt", "text.txt: expected a folder"),
        ("-o result", "result: expected a folder without another sample, got that of keyword; choose another -o"),
        ("more", "unrecognized arguments: more"),
    ],
    "targets": [
        ("nosuch", "target 'nosuch': expected one of binary, cpu-int8"),
        ("mcu_int8", "did you mean mcu-int8?"),
        ("cortex-m4", "cortex-m4 is a machine, which `intaglio compile --machine` takes: its target is mcu-int8"),
        ("bad.toml", "target bad.toml: not valid TOML"),
        ("folder", "or a TOML file (Is a directory)"),
    ],
    "doctor": [
        ("more", "intaglio doctor: unrecognized arguments: more; see `intaglio doctor --help`"),
        ("--jsn", "unrecognized arguments: --jsn (did you mean --json?)"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def files(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "net.onnx").write_bytes(made.model.read_bytes())
    (folder / "data.npz").write_bytes(made.data.read_bytes())
    (folder / "p.intaglio").write_bytes(made.program.read_bytes())
    (folder / "plan.json").write_bytes((made.program.parent / "plan.json").read_bytes())
    plan = json.loads((folder / "plan.json").read_text())
    plan["values"] = [{**v, "name": f"other.{v['name']}"} for v in plan["values"]]
    (folder / "other.json").write_text(json.dumps(plan))
    x = np.load(folder / "data.npz")["x"]
    np.save(folder / "x.npy", x)
    np.save(folder / "complex.npy", x.astype(complex))
    np.savez(folder / "complex.npz", x=x.astype(complex))
    np.savez(folder / "words.npz", x=np.array(["a"] * 4))
    (folder / "bad.toml").write_text("nonsense = [")
    (folder / "text.txt").write_text("hello")
    (folder / "folder").mkdir()
    (folder / "folder.npy").mkdir()
    (folder / "result").mkdir()
    for name in ("model.intaglio", "keyword.onnx"):
        (folder / "result" / name).write_bytes(b"")
    return folder


def changed(argv: str, index: int, value: str) -> str:
    words = argv.split()
    words[index] = value
    return " ".join(words)


CASES = [(f"{command} {BASE[command]} {options}", text) for command in WRONG for options, text in WRONG[command]]
for name in ("quantize", "train", "evaluate", "compare", "sensitivity", "inspect"):
    CASES += [(f"{name} {changed(BASE[name], 0, model)}", text) for model, text in MODELS.items()]
for name in ("quantize", "train", "evaluate", "compare", "sensitivity"):
    at = BASE[name].split().index("--data") + 1
    CASES += [
        (f"{name} {changed(BASE[name], at, data)}", text)
        for data, text in DATA.items()
        if data != "none" or name != "quantize"
    ]
for name in ("compile", "run", "bench"):
    CASES += [(f"{name} {changed(BASE[name], 0, program)}", text) for program, text in PROGRAMS.items()]


@pytest.mark.parametrize(("argv", "text"), CASES, ids=[argv for argv, _ in CASES])
def test_one_line_that_helps(fails: Any, files: Path, monkeypatch: pytest.MonkeyPatch, argv: str, text: str) -> None:
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    message = fails(*argv.split())
    assert text in message
    assert len(message.splitlines()) == 1
    assert sorted(files.rglob("*")) == before


def test_every_command_and_option_has_a_case() -> None:
    assert set(WRONG) == set(BASE) == set(COMMANDS)


def test_python_refuses_the_same(files: Path) -> None:
    with pytest.raises(ig.IntaglioError, match="expected a Plan such as plan.json"):
        ig.quantize(files / "net.onnx", files / "data.npz", plan=files / "none.json")
    few = {"max_drop": 1.0, "eval_data": files / "data.npz", "checkpoint": files / "c.npz"}
    with pytest.raises(ig.IntaglioError, match=r"checkpoint: expected no max_drop beside it.*give work instead"):
        ig.quantize(files / "net.onnx", files / "data.npz", **few)
