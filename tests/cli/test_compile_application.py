"""`intaglio compile --app DATA`: the application is built, answers for the first sample, and runs on a board."""

from __future__ import annotations

import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.c_application import identity_program
from PIL import Image

from intaglio.cli import main
from intaglio.number import INT8
from intaglio.program.sampling import grid

DESCRIPTOR = """path = "pictures"
classes = "names.txt"
[image]
size = 9
crop = 8
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
[postprocess]
kind = "classes"
top = 2
softmax = true
"""


def need(*commands: str) -> None:
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, which is not installed")


def call(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(["compile", *map(str, argv)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.fixture
def descriptor(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    (tmp_path / "two.txt").write_text("ant\nbee\n")
    (tmp_path / "data.toml").write_text(DESCRIPTOR)
    return tmp_path / "data.toml"


def answer(text: str) -> list[str]:
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "example.ppm" in line and ("main on" in line or line[0] == "e"))
    return [line.strip() for line in lines[at + 1 : at + 3]]


def test_host(made, descriptor, tmp_path, capsys) -> None:
    need("gcc", "make")
    out = call(capsys, made.program, "--app", descriptor, "--machine", "portable", "-o", tmp_path / "out")
    assert "16 outputs bit-exact" in out
    assert "main on example.ppm, the first sample:" in out
    folder = tmp_path / "out"
    assert f"  {folder / 'main'} {folder / 'example.ppm'}" in out
    first = answer(out)
    assert all(line.split()[-1] in {"ant", "bee", "cat", "dog"} for line in first)
    again = subprocess.run([folder / "main", "example.ppm"], cwd=folder, capture_output=True, text=True, check=True)
    assert answer(again.stdout) == first
    subprocess.run(["make", "-B", "-C", folder], capture_output=True, check=True)
    Image.open(tmp_path / "pictures" / "2.png").save(tmp_path / "other.ppm")
    made_run = ["make", "-C", folder, "run", f"INPUT={tmp_path / 'other.ppm'}"]
    other = subprocess.run(made_run, capture_output=True, text=True, check=True)
    assert f"{tmp_path / 'other.ppm'}\n" in other.stdout


def test_cmake_builds_it(made, descriptor, tmp_path, capsys) -> None:
    need("gcc", "cmake")
    call(capsys, made.program, "--app", descriptor, "--machine", "portable", "--no-build", "-o", tmp_path / "out")
    subprocess.run(["cmake", "-S", tmp_path / "out", "-B", tmp_path / "b"], capture_output=True, check=True)
    subprocess.run(["cmake", "--build", tmp_path / "b"], capture_output=True, check=True)
    subprocess.run([tmp_path / "b" / "main", tmp_path / "out" / "example.ppm"], capture_output=True, check=True)


def test_firmware_gives_the_answer_of_the_host(made, descriptor, tmp_path, capsys) -> None:
    need("gcc", "arm-none-eabi-gcc", "qemu-system-arm", "make")
    folder = tmp_path / "out"
    host = call(capsys, made.program, "--app", descriptor, "--machine", "portable", "-o", tmp_path / "host")
    out = call(capsys, made.program, "--app", descriptor, "--machine", "cortex-m4", "-o", folder)
    assert answer(out) == answer(host)
    assert f"  make -C {folder} run INPUT=example.ppm" in out
    Image.open(tmp_path / "pictures" / "2.png").save(tmp_path / "other.ppm")
    for name in ("example.ppm", str(tmp_path / "other.ppm")):
        want = subprocess.run(
            [tmp_path / "host" / "main", name], cwd=tmp_path / "host", capture_output=True, text=True, check=True
        )
        command = ["make", "-C", folder, "run", f"INPUT={name}"]
        got = subprocess.run(command, capture_output=True, text=True, check=True)
        assert want.stdout in got.stdout + got.stderr
    (tmp_path / "bad.ppm").write_bytes(b"P6 4")
    got = subprocess.run(
        ["make", "-C", folder, "run", f"INPUT={tmp_path / 'bad.ppm'}"], capture_output=True, text=True, check=False
    )
    assert got.returncode != 0
    assert f"error: {tmp_path / 'bad.ppm'}: expected width, height" in got.stdout + got.stderr


@pytest.mark.parametrize("machine", ["portable", "cortex-m4"])
def test_the_file_to_read_is_named_from_the_folder_of_the_caller(machine, made, descriptor, tmp_path, capsys) -> None:
    need(*(("gcc", "make") if machine == "portable" else ("arm-none-eabi-gcc", "qemu-system-arm", "make")))
    call(capsys, made.program, "--app", descriptor, "--machine", machine, "-o", tmp_path / "out")
    Image.open(tmp_path / "pictures" / "2.png").save(tmp_path / "pictures" / "other.ppm")
    got = _make_run(tmp_path, "pictures/other.ppm")
    assert got.returncode == 0
    assert f"{tmp_path}/pictures/other.ppm\n" in got.stdout + got.stderr
    (tmp_path / "pictures" / "other.ppm").rename(tmp_path / "pictures" / "a second one.ppm")
    got = _make_run(tmp_path, "pictures/a second one.ppm")
    assert got.returncode == 0, got.stderr
    assert f"{tmp_path}/pictures/a second one.ppm\n" in got.stdout + got.stderr
    got = _make_run(tmp_path, "pictures/absent.ppm")
    assert got.returncode != 0
    assert "pictures/absent.ppm" in got.stderr
    if machine != "portable":
        assert f"INPUT: expected a file, got pictures/absent.ppm, which is neither in {tmp_path}/out nor" in got.stderr


def _make_run(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Call make in the folder, as a shell does, which sets PWD."""
    command = ["make", "-C", "out", "run", f"INPUT={name}"]
    environment = os.environ | {"PWD": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_model_under_another_name(made, descriptor, tmp_path, capsys) -> None:
    need("gcc")
    out = call(
        capsys, made.program, "--app", descriptor, "--machine", "portable", "--name", "kws", "-o", tmp_path / "o"
    )
    assert "main on example.ppm" in out


def test_a_folder_and_options_instead_of_a_descriptor(made, descriptor, tmp_path, capsys) -> None:
    need("gcc")
    want = call(capsys, made.program, "--app", descriptor, "--machine", "portable", "-o", tmp_path / "a")
    options = ["--size", "9", "--crop", "8", "--mean", "0.5", "--std", "0.25", "--classes", tmp_path / "names.txt"]
    got = call(
        capsys, made.program, "--app", tmp_path / "pictures", *options, "--machine", "portable", "-o", tmp_path / "b"
    )
    assert answer(got) == answer(want)


def test_numbers_where_the_data_are_arrays(made, tmp_path, capsys) -> None:
    need("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
    answers = []
    for machine in ("portable", "cortex-m4", "cortex-m0"):
        out = call(capsys, made.program, "--app", made.data, "--machine", machine, "-o", tmp_path / machine)
        answers.append([line for line in out.splitlines() if " %  class " in line])
        assert "main on example.csv, the first sample:" in out
    assert len(answers[0]) == 3
    assert answers[0] == answers[1] == answers[2]


def test_sounds(tmp_path, capsys) -> None:
    need("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
    (tmp_path / "words").mkdir()
    with wave.open(str(tmp_path / "words" / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.random.default_rng(0).integers(-9999, 9999, 1000).astype("<i2").tobytes())
    text = 'path = "words"\n[sound]\nsamples = 1000\n[postprocess]\nkind = "numbers"\n'
    (tmp_path / "words.toml").write_text(text)
    identity_program((1, 2, 10), grid(INT8, 0.5)).save(tmp_path / "net.intaglio")
    answers = []
    for machine in ("portable", "cortex-m4", "cortex-m0"):
        arguments = ("--app", tmp_path / "words.toml", "--machine", machine, "-o", tmp_path / machine)
        out = call(capsys, tmp_path / "net.intaglio", *arguments).splitlines()
        answers.append(out[out.index("main on example.wav, the first sample:") + 1])
    assert answers[0].count(",") == 19
    assert answers[0] == answers[1] == answers[2]
    done = subprocess.run(
        ["make", "-B", "-C", tmp_path / "cortex-m4", "run"], capture_output=True, text=True, check=True
    )
    assert answers[0].strip() in done.stdout + done.stderr


BAD = {
    "absent": ("--app nowhere.toml", "", "nowhere.toml"),
    "name": ("--app data.toml --name show_classes", DESCRIPTOR, "--name: expected letters, digits and _, and none of"),
    "names": ("--app data.toml", DESCRIPTOR.replace("names.txt", "two.txt"), "expected 4 class names, got 2"),
    "size": ("--app pictures --size 9", DESCRIPTOR, "expected pictures of 8 x 8 (height x width), got 9 x 9"),
    "picture": ("--app pictures", DESCRIPTOR, "expected samples of shape (3, 8, 8), got (3, 20, 24)"),
    "no app": ("--size 9", DESCRIPTOR, "--size: expected a folder of images or a .parquet file"),
    "no names": ("--app data.toml", DESCRIPTOR.replace("names.txt", "none.txt"), "none.txt: expected a text file"),
    "kind": ("--app data.toml", DESCRIPTOR.replace('"classes"', '"cats"'), "postprocess.kind: expected 'classes'"),
    "no kind": ("--app data.toml", DESCRIPTOR.replace('kind = "classes"', ""), "postprocess.kind: expected 'classes'"),
    "key": ("--app data.toml", DESCRIPTOR.replace("top", "best"), "unknown key; known are kind, output, softmax, top"),
    "output": ("--app data.toml", DESCRIPTOR + 'output = "z"\n', "[postprocess] output: expected one of"),
    "layout": ("--app data.toml", DESCRIPTOR.replace("mean", 'layout = "NHWC"\nmean'), "expected shape (1, H, W, 3)"),
    "file": ("--app frog.ppm", DESCRIPTOR, "--app frog.ppm: expected data as for quantize, such as a .toml descriptor"),
    "crop": ("--app data.toml", DESCRIPTOR.replace("crop = 8", "crop = 7"), "expected pictures of 8 x 8"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_leave_nothing(case, made, fails, descriptor, tmp_path, monkeypatch) -> None:
    arguments, text, message = BAD[case]
    descriptor.write_text(text or DESCRIPTOR)
    monkeypatch.chdir(tmp_path)
    error = fails("compile", made.program, "-o", tmp_path / "out", *arguments.split())
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
