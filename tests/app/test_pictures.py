"""`main.c` reads a picture as Python does, to the last bit, and refuses a damaged one."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intaglio_tests.c_application import (
    PORTABLE,
    SANITIZE,
    build_application,
    expected_classes,
    identity_program,
    printed_numbers,
    run_application,
)
from intaglio_tests.nets import separable_network
from PIL import Image

from intaglio.app.application import make_application
from intaglio.app.picture_input import picture_codes
from intaglio.codegen.build import generate, write
from intaglio.codegen.buildfiles import WARNINGS
from intaglio.data import open_data
from intaglio.data.dataset import Dataset
from intaglio.data.images import ImageFolder, Preprocess
from intaglio.data.postprocess import ClassOutput, NumberOutput
from intaglio.errors import CompileError
from intaglio.number import INT8, UINT8, QuantParams
from intaglio.program import Node
from intaglio.program.operators.softmax import Softmax
from intaglio.program.sampling import grid

RGB = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SIZES = [(1, 1), (7, 5), (16, 16), (12, 12), (13, 40), (64, 48), (101, 33), (480, 311)]
PREPARATIONS = {
    "short side and crop": (Preprocess(size=14, crop=12), (1, 3, 12, 12)),
    "short side, crop to a rectangle": (Preprocess(size=21, crop=(10, 17), layout="NHWC"), (1, 10, 17, 3)),
    "height and width": (Preprocess(size=(9, 16)), (1, 3, 9, 16)),
    "grey": (Preprocess(size=12, crop=12, mean=(0.5,), std=(0.25,)), (1, 1, 12, 12)),
    "blue first": (Preprocess(9, 8, (0.1, 0.4, 0.6), (0.2, 0.5, 0.3), channels="BGR"), (1, 3, 8, 8)),
    "blue first, channels last": (Preprocess((9, 8), None, RGB.mean, RGB.std, "NHWC", "BGR"), (1, 9, 8, 3)),
    "mean and standard deviation": (Preprocess((12, 12), None, RGB.mean, RGB.std), (1, 3, 12, 12)),
}


def save(path: Path, height: int, width: int, channels: int, seed: int = 0) -> Path:
    """A picture of smooth and of rough parts."""
    rng = np.random.default_rng(seed)
    smooth = np.linspace(0, 255, height)[:, None, None] * np.linspace(0, 1, width)[None, :, None]
    pixels = (smooth + rng.integers(-128, 128, (height, width, channels)) * (rng.random() < 0.7)).clip(0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8).squeeze(2) if channels == 1 else pixels.astype(np.uint8)).save(path)
    return path


def pictures(folder: Path, preprocess: Preprocess, classes: tuple[str, ...] | None = None) -> Dataset:
    return Dataset(ImageFolder(folder, preprocess, classes=classes))


@pytest.mark.parametrize("name", PREPARATIONS)
@pytest.mark.parametrize("params", [grid(UINT8, 0.019, 114), grid(INT8, 1 / 255, -128)], ids=["uint8", "int8"])
def test_codes_are_those_of_python(name: str, params: QuantParams, tmp_path: Path) -> None:
    preprocess, shape = PREPARATIONS[name]
    files = []
    for i, (height, width) in enumerate(SIZES):
        for channels, suffix in ((3, "ppm"), (1, "pgm")):
            files.append(save(tmp_path / "data" / f"{i}.{suffix}", height, width, channels, i))
    program = identity_program(shape, params)
    main = build_application(program, pictures(tmp_path / "data", preprocess), tmp_path / "c", NumberOutput())
    status, out, err = run_application(main, *files)
    assert (status, err) == (0, "")
    assert out.splitlines()[::2] == list(map(str, files))
    for file, codes in zip(files, printed_numbers(out, params, shape), strict=True):
        want = params.quantize(preprocess(file, str(file))[None])
        np.testing.assert_array_equal(codes, want, err_msg=f"{name}, {file.name}")


@pytest.mark.slow
def test_resizing_is_that_of_pillow_for_many_sizes(tmp_path: Path) -> None:
    params = grid(UINT8, 1 / 255)
    rng = np.random.default_rng(5)
    files = [save(tmp_path / "data" / f"{i}.ppm", *map(int, rng.integers(1, 900, 2)), 3, i) for i in range(40)]
    for side in (1, 3, 32, 224):
        preprocess = Preprocess(size=(side, side), layout="NHWC")
        program = identity_program((1, side, side, 3), params)
        data = pictures(tmp_path / "data", preprocess)
        main = build_application(program, data, tmp_path / f"c{side}", NumberOutput(), ["-O2"])
        _, out, _ = run_application(main, *files)
        for file, codes in zip(files, printed_numbers(out, params, (side, side, 3)), strict=True):
            want = params.quantize(preprocess(file, str(file)))
            np.testing.assert_array_equal(codes, want, err_msg=f"{file.name} to {side}")


def test_a_table_holds_the_code_of_every_pixel() -> None:
    program = identity_program((1, 3, 2, 2), grid(INT8, 0.02, 3))
    info = program.tensors["x"]
    assert info.params is not None
    codes = picture_codes(info, RGB)
    for channel, value in itertools.product(range(3), range(256)):
        real = (np.float32(value) / np.float32(255) - np.float32(RGB.mean[channel])) / np.float32(RGB.std[channel])
        assert codes[channel, value] == info.params.quantize(real)


def test_classes_and_scores_of_a_network(tmp_path: Path) -> None:
    program = separable_network()
    preprocess = Preprocess(size=13, crop=11, layout="NHWC")
    for label, name in enumerate(["ant", "bee"]):
        for i in range(3):
            save(tmp_path / "data" / name / f"{i}.ppm", 20, 30, 3, 7 * label + i)
    names = ("ant", "bee", "cat ☃", 'a "dog"', "e\\lk")
    data = pictures(tmp_path / "data", preprocess, names)
    main = build_application(program, data, tmp_path / "c", ClassOutput(top=4, softmax=True))
    files = sorted((tmp_path / "data").rglob("*.ppm"))
    status, out, _ = run_application(main, *files)
    assert status == 0
    params = program.tensors[program.outputs[0]].params
    assert params is not None
    want: list[str] = []
    for file in files:
        codes = program.run_int(*program.quantize_inputs(preprocess(file, str(file))[None]))
        want += [str(file), *expected_classes(codes, params, names, 4)]
    assert out.splitlines() == want
    _, example, _ = run_application(main, "example.ppm")  # the first sample
    assert example.splitlines()[1:] == want[1:5]


@pytest.mark.parametrize("softmax", [True, False])
def test_of_equal_scores_the_first_class_comes_first(softmax: bool, tmp_path: Path) -> None:
    params = grid(UINT8, 1 / 255)
    program = identity_program((1, 1, 6, 1), params)
    pixels = np.array([[7, 200, 7, 200, 0, 199]], np.uint8)
    (tmp_path / "data").mkdir()
    Image.fromarray(pixels).save(tmp_path / "data" / "a.pgm")
    data = pictures(tmp_path / "data", Preprocess(mean=(0.0,), std=(1.0,), layout="NHWC"))
    main = build_application(program, data, tmp_path / "c", ClassOutput(top=6, softmax=softmax))
    _, out, _ = run_application(main, tmp_path / "data" / "a.pgm")
    lines = out.splitlines()[1:]
    names = [f"class {i}" for i in range(6)]
    assert [line.split("  ")[-1] for line in lines] == [names[i] for i in (1, 3, 5, 0, 2, 4)]
    if softmax:
        assert lines == expected_classes(pixels, params, names, 6)
        weights = np.exp(pixels[0] / 255)
        percent = [float(line.split("%")[0]) for line in lines]
        np.testing.assert_allclose(percent, 100 * np.sort(weights / weights.sum())[::-1], atol=0.0501)
    else:
        assert [float(line.split()[0]) for line in lines] == [0.784, 0.784, 0.78, 0.027, 0.027, 0]


PPM = b"P6\n# by hand\n4 3\n255\n" + bytes(range(36))
BAD = {
    "empty": (b"", "expected a binary PPM or PGM picture, which begins with P6 or P5; convert the picture"),
    "text": (b"P3\n1 1\n255\n0 0 0\n", "expected a binary PPM or PGM picture"),
    "png": (b"\x89PNG\r\n\x1a\n", "expected a binary PPM or PGM picture"),
    "no size": (b"P6\n", "expected width, height and largest value, 1 to 65535"),
    "zero": (b"P6 0 3 255\n", "expected width, height and largest value, 1 to 65535"),
    "huge": (b"P6 99999999999999999999 3 255\n", "expected width, height and largest value, 1 to 65535"),
    "16 bits": (PPM.replace(b"255", b"65535"), "expected a picture whose largest value is 255, got 65535"),
    "truncated": (PPM[:-5], "expected 36 bytes of pixels, got 31; the file is truncated"),
    "enormous": (b"P6 65535 65535 255\n" + bytes(50), "expected 12884508675 bytes of pixels, got 50"),
    "wrong size": (PPM.replace(b"4 3", b"3 4"), "expected a picture of 3 x 4 (height x width), got 4 x 3"),
}


@pytest.fixture(scope="module")
def checked_main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the sanitizers of the compiler: for pictures of 3 x 4."""
    folder = tmp_path_factory.mktemp("checked")
    save(folder / "data" / "a.ppm", 3, 4, 3)
    data = pictures(folder / "data", Preprocess(layout="NHWC"))
    return build_application(identity_program((1, 3, 4, 3), grid(UINT8, 1 / 255)), data, folder / "c", None, SANITIZE)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_message_and_status_1(case: str, checked_main: Path, tmp_path: Path) -> None:
    content, message = BAD[case]
    (tmp_path / "bad.ppm").write_bytes(content)
    (tmp_path / "good.ppm").write_bytes(PPM)
    status, out, err = run_application(checked_main, tmp_path / "bad.ppm", tmp_path / "good.ppm")
    assert status == 1
    assert err.startswith(f"error: {tmp_path / 'bad.ppm'}: {message}"), err
    assert len(err.splitlines()) == 1
    assert out.startswith(f"{tmp_path / 'good.ppm'}\n0.000,0.004,0.008,")  # the others are read


def test_no_file_and_a_file_that_is_not_there(checked_main: Path, tmp_path: Path) -> None:
    assert run_application(checked_main) == (1, "", f"error: expected files: {checked_main} example.ppm ...\n")
    status, out, err = run_application(checked_main, tmp_path / "none.ppm")
    assert (status, out) == (1, "")
    assert err == f"error: {tmp_path / 'none.ppm'}: cannot be read: No such file or directory\n"
    status, _, err = run_application(checked_main, tmp_path)
    assert (status, err) == (1, f"error: {tmp_path}: cannot be read: Is a directory\n")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Other bytes in the header, a piece left out, or the end cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(min(len(changed), 24)))
        kind = rng.integers(4)
        if kind == 0:
            changed[at] = rng.choice(list(b"0123456789 #\n\xff\x00P"))
        elif kind == 1:
            changed[at:at] = rng.choice(list(b"0123456789 #\n"), int(rng.integers(1, 6))).astype(np.uint8).tobytes()
        elif kind == 2:
            del changed[at : at + int(rng.integers(1, 4))]
        else:
            del changed[int(rng.integers(len(changed))) :]
        if not changed:
            break
    return bytes(changed)


@pytest.mark.parametrize("size", [12, None])
def test_damaged_pictures_never_reach_beyond_memory(size: int | None, checked_main: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    main = checked_main
    if size is not None:
        save(tmp_path / "data" / "a.ppm", 30, 40, 3)
        program = identity_program((1, 3, 12, 12), grid(UINT8, 1 / 255))
        data = pictures(tmp_path / "data", Preprocess(size=size, crop=12))
        main = build_application(program, data, tmp_path / "c", None, SANITIZE)
    files = []
    for i in range(300):
        files.append(tmp_path / f"{i}.ppm")
        files[-1].write_bytes(damaged(PPM, rng))
    status, out, err = run_application(main, *files)
    assert status == 1
    assert all(line.startswith("error: ") for line in err.splitlines()), err
    assert len(err.splitlines()) + len(out.splitlines()) // 2 == len(files)


WRONG: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
    "layout": (
        {"layout": "NCHW"},
        (1, 8, 8, 3),
        "expected shape (1, 3, H, W) for pictures with layout NCHW and 3 channels, got (1, 8",
    ),
    "grey": (
        {"mean": (0.1, 0.2, 0.3)},
        (1, 1, 8, 8),
        "expected shape (1, 3, H, W) for pictures with layout NCHW and 3 channels, got (1, 1",
    ),
    "crop": ({"crop": 9}, (1, 3, 8, 8), "expected pictures of 8 x 8 (height x width), got 9 x 9"),
    "size": ({"size": (8, 9)}, (1, 3, 8, 8), "expected pictures of 8 x 8 (height x width), got 8 x 9"),
    "large": ({"size": 40000}, (1, 3, 8, 8), "expected sizes of at most 32767, got 40000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_pictures_that_the_model_does_not_take(case: str, tmp_path: Path) -> None:
    arguments, shape, message = WRONG[case]
    save(tmp_path / "data" / "a.ppm", 8, 8, 3)
    program = identity_program(shape, grid(UINT8, 1 / 255))
    with pytest.raises(CompileError) as caught:
        build_application(program, pictures(tmp_path / "data", Preprocess(**arguments)), tmp_path / "c")
    assert message in str(caught.value)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_an_application_for_pictures_has_no_float_and_no_warning(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}, which is not installed")
    save(tmp_path / "data" / "a.ppm", 8, 8, 3)
    program = identity_program((1, 3, 8, 8), grid(UINT8, 1 / 255))
    data = pictures(tmp_path / "data", Preprocess(size=9, crop=8))
    for postprocess in (ClassOutput(), NumberOutput()):
        made = make_application(program, PORTABLE, "model", data, postprocess)
        folder = tmp_path / type(postprocess).__name__
        write({**generate(program, PORTABLE), **made.files}, folder)
        for name in made.files:
            text = re.sub(r'/\*.*?\*/|"(\\.|[^"\\])*"', "", made.files[name], flags=re.DOTALL)
            assert not re.search(r"\b(float|double)\b|\b\d+\.\d|\b\d+\.f", text), name
        for level in ("-O0", "-O3"):
            command = [compiler, "-std=c11", level, *WARNINGS, "model.c", *made.sources, "-o", "main"]
            subprocess.run(command, cwd=folder, check=True)


@pytest.mark.parametrize("shape", [(1, 5), (1, 1, 5), (1, 5, 1)])
@pytest.mark.parametrize("ending", ["softmax", "none"])
def test_what_is_shown_without_postprocessing(shape: tuple[int, ...], ending: str) -> None:
    """A row of scores is classes, as per cent unless it is a softmax already; everything else is numbers."""
    params = grid(UINT8, 1 / 256)
    program = identity_program(shape, params)
    if ending == "softmax":
        softmax = next(op for op, _ in Softmax.samples(np.random.default_rng(0)))
        program.nodes[:] = [Node("n", softmax, ("x",), "y")]
    data = open_data(np.zeros(shape, np.float32))
    files = make_application(program, PORTABLE, "model", data).files
    assert ("show_classes.c" in files) == (shape[-1] == 5)
    assert ("exponential_fine" in files["app_settings.c"]) == (shape[-1] == 5 and ending == "none")
