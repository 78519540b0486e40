"""Data that cannot be meant: one clear text each."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.data import match, open_data
from intaglio.errors import DataError, UsageError

X = np.zeros((4, 3, 8, 6), np.float32)


def consume(data: Any) -> None:
    for _ in data.batches(2):
        pass


@pytest.mark.parametrize(
    ("x", "inputs", "text"),
    [
        (X, (1, 8, 6, 3), r"channels-first \(NCHW\), the model channels-last \(NHWC\). Set layout = \"NHWC\""),
        (X.transpose(0, 2, 3, 1), (1, 3, 8, 6), r"channels-last \(NHWC\), the model .* Set layout = \"NCHW\""),
        (X, (1, 3, 9, 6), r"expected samples of shape \(3, 9, 6\), got \(3, 8, 6\). .*size and crop"),
        (X, (1, 144), r"expected samples of shape \(144,\), got \(3, 8, 6\): 1 axes are needed, not 3"),
        (
            X[0],
            (1, 3, 8, 6),
            r"expected samples of shape \(3, 8, 6\), got \(8, 6\): 3 axes .* Axis 0 .* counts the samples",
        ),
        (X, {"a": (1, 3, 8, 6), "b": (1, 2)}, r"the model has 2 inputs \('a', 'b'\), got 1 per sample. Give a tuple"),
        (
            {"c": X, "b": X},
            {"a": (1, 3, 8, 6), "b": (1, 2)},
            r"expected the model's inputs 'a', 'b', got .* 'c', 'b'. Rename",
        ),
        ({"a": X, "b": X}, {"a": (1, 3, 8, 6), "b": (1, 2)}, r"sample 0 input 'b': expected samples of shape \(2,\)"),
        ([(X[0], X[0])], (1, 3, 8, 6), r"labels must be one class index per sample, got shape \(1, 3, 8, 6\)"),
        (X[:0], (1, 3, 8, 6), "array: no samples. At least 1 is needed"),
        ([], (1, 3, 8, 6), "list: no samples"),
        (iter([]), (1, 3, 8, 6), "no samples"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused_at_once(x: Any, inputs: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        match(open_data(x), inputs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_sample(value: float) -> None:
    x = np.zeros((200, 3))
    x[170, 1] = value
    with pytest.raises(
        DataError, match=rf"array sample 170: 1 of 3 values are not finite in float32, the first is {value}"
    ):
        consume(match(open_data(x), (1, 3)))
    with pytest.raises(DataError, match="sample 170"):  # counted in the source, not in the part
        consume(open_data(x).part(150, 200))
    with pytest.raises(DataError, match="sample 170"):
        consume(open_data(x).hold_back(100)[0])


def test_a_value_beyond_float32_is_refused() -> None:
    with pytest.raises(DataError, match=r"sample 1: 1 of 2 values are not finite in float32, the first is 1e\+300"):
        consume(open_data(np.array([[0, 1], [0, 1e300]])))


@pytest.mark.parametrize(("label", "hint"), [(10, "Labels start at 0"), (-1, r"\(0 to 9\).$"), (77, r"\(0 to 9\).$")])
def test_labels_out_of_range_are_named(label: int, hint: str) -> None:
    y = np.zeros(100, np.int64)
    y[90] = label
    with pytest.raises(DataError, match=f"sample 90: label {label} is not among the model's 10 classes .*{hint}"):
        consume(match(open_data((np.zeros((100, 3)), y)), (1, 3), classes=10))


def test_missing_labels_are_an_error_only_if_needed() -> None:
    match(open_data(X), (1, 3, 8, 6))
    with pytest.raises(DataError, match=r"labels are needed and there are none. Give pairs \(x, y\)"):
        match(open_data(X), (1, 3, 8, 6), need_labels=True)


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (
            [(X, [0, 1])],
            r"item 0: inputs and labels must count the same samples, got .*\(4, 3, 8, 6\) and y of shape \(2,\)",
        ),
        ([(X[0], 0), X[0]], "sample 1: has no label, the first sample has one"),
        ([X[0], (X[0], 0)], "sample 1: has a label, the first sample has none"),
        ([X[0], X], "list item 1: is a batch, but item 0 is a single sample"),
        ([X[0], X[0, :2]], r"sample 1: expected samples of shape \(3, 8, 6\), got \(2, 8, 6\)"),
        (
            [(X[0], X[0], 1)],
            r"list item 0: expected x or a pair \(x, y\), got 3 values. Give the inputs .* \(\(a, b\), y\)",
        ),
        ([(X[0], 0.5)], "labels must be whole numbers, got 0.5"),
        ([("a", 0)], "list item 0: expected an array of numbers, got str"),
        ([{}], "list item 0: expected a dict of arrays by input name, got one without inputs"),
        ([((), 0)], "list item 0: expected arrays, got an empty tuple"),
        ([np.zeros((3, 8, 6), complex)], "expected an array of numbers, got ndarray of dtype complex128"),
        ([[[1, 2], [3]]], "list item 0: expected an array of numbers, got list"),
    ],
)
def test_bad_items_are_named(items: list[Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        consume(match(open_data(items), (1, 3, 8, 6)))


def test_a_second_pass_over_an_iterator_says_what_to_do() -> None:
    data = open_data(x for x in X)
    assert len(list(data.batches(3))) == 4  # without a model, an iterator is taken to give batches, here of 3 samples
    with pytest.raises(
        DataError, match=r"already read, which works only once. Give a list, a path, a function .*cached\(\)"
    ):
        consume(data)
    with pytest.raises(DataError, match=r"samples of an iterator cannot be divided. .*cached\(\)"):
        data.hold_back(1)


def test_holding_back_more_than_there_is() -> None:
    for count in (0, 4, 9):
        with pytest.raises(DataError, match=f"cannot hold back {count} of 4 samples; hold back fewer"):
            open_data(X).hold_back(count)
    with pytest.raises(DataError, match="list: no samples from number 4 on"):  # batches, so the length is not known
        consume(match(open_data([X]), (1, 3, 8, 6)).part(4, 8))


@pytest.mark.parametrize("n", [0, -3])
def test_counts_below_one(n: int) -> None:
    with pytest.raises(UsageError, match=f"the number of samples must be at least 1, got {n}"):
        open_data(X, limit=n)
    with pytest.raises(UsageError, match=f"a batch must hold at least 1 sample, got {n}"):
        next(open_data(X).batches(n))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("missing.npz", None, "missing.npz: expected data, got no such file or directory"),
        ("data.csv", b"1,2", r"data.csv: expected a directory of images .* or .toml descriptor, got a .csv"),
        ("data", b"1,2", "got a file without suffix"),
        ("cut.npz", b"PK\x03\x04cut", "cut.npz: expected a .npz of arrays, got one that cannot be read"),
        ("cut.npy", b"\x93NUMPY\x01", "cut.npy: expected a .npy file of plain numbers, got one that cannot be read"),
        ("text.npy", b"hello", "text.npy: expected a .npy file of plain numbers"),
        ("bad.toml", b"path = ", "bad.toml: expected a TOML data descriptor, got one that cannot be read"),
        ("latin.toml", b"path = '\xe4'", "latin.toml: expected a TOML data descriptor"),
        ("none.toml", b"", "none.toml: path: missing, it must name the data"),
        ("gone.toml", b"path = 'x.npz'", r"x.npz \(named by .*gone.toml\): expected data, got no such file"),
        ("loop.toml", b"path = 'loop.toml'", "loop.toml: expected a directory .* got a .toml"),
        ("type.toml", b"path = 3", "type.toml: path: expected a text, got 3"),
        ("more.toml", b"path = 'a'\nmore = 1", "more.toml: more: unknown key; known are classes, image, label, path"),
        (
            "more.toml",
            b"path = 'a'\n[image]\nsise = 1",
            "image.sise: unknown key; known are channels, crop, layout, mean, preset, size, std",
        ),
        ("size.toml", b"path = 'a'\n[image]\nsize = 0", "size.toml: image.size: expected a number above 0, got 0"),
        ("size.toml", b"path = 'a'\n[image]\nsize = '32'", "image.size: expected a whole number, got '32'"),
        ("size.toml", b"path = 'a'\n[image]\ncrop = [3]", "image.crop: expected a list of at least 2 entries"),
        ("mean.toml", b"path = 'a'\n[image]\nmean = [0.5, 'x', 0.5]", "image.mean.1: expected a number, got 'x'"),
        ("std.toml", b"path = 'a'\n[image]\nstd = [1.0, 0.0, 1.0]", "image.std.1: expected a number above 0"),
        ("std.toml", b"path = 'a'\n[image]\nstd = [nan, 1.0, 1.0]", "image.std.0: expected a finite number, got nan"),
        (
            "two.toml",
            b"path = 'a'\n[image]\nmean = [0.5, 0.5]\nstd = [1, 1]",
            "image: mean and std must both .* got 2 and 2",
        ),
        (
            "grey.toml",
            b"path = 'a'\n[image]\npreset = 'cifar10'\nmean = [0.5]",
            "image: mean and std must both hold 3 .* got 1 and 3",
        ),
        (
            "layout.toml",
            b"path = 'a'\n[image]\nlayout = 'HWC'",
            "image.layout: expected 'NCHW' or 'NHWC', got 'HWC'",
        ),
    ],
)
def test_bad_files_are_named_with_the_key(name: str, content: bytes | None, text: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=text):
        consume(open_data(tmp_path / name))


def test_image_section_for_plain_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "x.npy", X[0])
    for target in ("x.npz", "folder"):
        (tmp_path / "d.toml").write_text(f"path = '{target}'\n[image]\nsize = 8\n")
        with pytest.raises(DataError, match=r"d.toml: \[image\] prepares image files, but .*Leave it out"):
            open_data(tmp_path / "d.toml")


def test_an_empty_directory_and_one_of_two_kinds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples. Expected class folders with images, images, or .npy files"):
        open_data(tmp_path)
    np.save(tmp_path / "x.npy", X[0])
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(DataError, match="holds both .npy files and images. Give a directory of one kind"):
        open_data(tmp_path)
    (tmp_path / "x.png").rename(tmp_path / "test.toml")
    with pytest.raises(DataError, match=r"holds .npy files and test.toml. Name one of them instead of the directory"):
        open_data(tmp_path)


def test_npz_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, y=np.zeros(3))
    with pytest.raises(DataError, match=r"expected arrays 'x' and 'y', or one array per model input, got only \['y'\]"):
        open_data(path)
    np.savez(path, x=np.zeros((3, 2)), y=np.zeros(4, np.int64))
    with pytest.raises(DataError, match=r"the arrays must hold equally many samples, got \{'x': 3, 'y': 4\}"):
        consume(open_data(path))
    np.savez(path, x=np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match="array 'x' holds Python objects, which are not loaded"):
        open_data(path)
    np.savez(path, x=np.float32(1))
    with pytest.raises(DataError, match="array 'x' is a single number; axis 0 must count the samples"):
        open_data(path)
    np.savez(path, images=np.zeros((3, 2)))
    with pytest.raises(DataError, match="expected the model's inputs 'input', got arrays named 'images'"):
        match(open_data(path), {"input": (1, 2)})
    np.savez(path, x=np.array(["a", "b"]))
    with pytest.raises(DataError, match="expected real numbers, got an array of dtype <U1"):
        consume(open_data(path))


def test_a_damaged_npz_is_an_error_and_not_a_short_pass(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "a.npz"
    for save in (np.savez, np.savez_compressed):
        save(path, x=rng.integers(0, 1000, (300, 50)))
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a.npz: expected a .npz of arrays, got one that cannot be read"):
            consume(open_data(path))


def test_an_npz_header_that_promises_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    content = (tmp_path / "x.npy").read_bytes().replace(b"(4, 2)", b"(9, 2)")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=r"a.npz: expected a .npz of arrays, got one that cannot be read"):
        consume(open_data(path))


@pytest.mark.parametrize("source", [3, None, object()])
def test_objects_that_are_not_data_are_refused(source: Any) -> None:
    with pytest.raises(DataError, match=r"expected a path, an array or an iterable of arrays or pairs \(x, y\), got"):
        open_data(source)


@pytest.mark.parametrize(
    ("name", "missing", "text"),
    [
        ("a.parquet", "pyarrow", "pyarrow is needed to read Parquet files"),
        ("folder", "PIL", "Pillow is needed to read images"),
        ("a.toml", "pydantic", "pydantic is needed to read data descriptors"),
    ],
)
def test_a_core_install_names_the_missing_extra(name: str, missing: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(b"")
    (tmp_path / "a.parquet").write_bytes(b"")
    (tmp_path / "a.toml").write_bytes(b"")
    code = (
        "import sys\n"
        f"sys.modules['{missing}'] = None\n"
        "from intaglio.data import open_data\n"
        f"next(open_data({str(tmp_path / name)!r}).batches(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"UsageError: {text} and is not installed. Install it with: pip install 'intaglio[quantize]'" in done.stderr
