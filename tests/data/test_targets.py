"""Labels that are no class indices: from files beside the samples, from columns, and from Python objects."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intaglio.data import match, open_data
from intaglio.errors import DataError
from intaglio.files import data_fingerprint

RNG = np.random.default_rng(9)
COUNT = 5
MASKS = RNG.integers(0, 4, (COUNT, 6, 7)).astype(np.uint8)
OBJECTS = [{"boxes": np.full((i, 4), i), "labels": np.arange(i)} for i in range(COUNT)]


def png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Samples, and targets in every kind of file."""
    np.save(tmp_path / "x.npy", np.arange(COUNT * 2, dtype=np.float32).reshape(COUNT, 2))
    np.save(tmp_path / "numbers.npy", MASKS[:, 0] * 0.5)
    (tmp_path / "texts.txt").write_text("".join(f"line {i}\n" for i in range(COUNT)))
    rows = [{key: value.tolist() for key, value in entry.items()} for entry in OBJECTS]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    (tmp_path / "masks").mkdir()
    for i, mask in enumerate(MASKS):
        (tmp_path / "masks" / f"{i}.png").write_bytes(png(mask))
    return tmp_path


def described(folder: Path, label: str, path: str = "x.npy") -> Path:
    descriptor = folder / "data.toml"
    descriptor.write_text(f'path = "{path}"\nlabel = "{label}"\n')
    return descriptor


def labels(source: Any, targets: Any = "given", batch: int = 2, **options: Any) -> list[np.ndarray]:
    data = match(open_data(source, pair=True), (1, 2), targets=targets, need_labels=True, **options)
    return [row for _, y in data.batches(batch) for row in y]


def test_targets_come_from_a_file_beside_the_samples(folder: Path) -> None:
    np.testing.assert_array_equal(labels(described(folder, "masks")), MASKS)
    np.testing.assert_array_equal(labels(described(folder, "numbers.npy"), "numbers"), MASKS[:, 0] * 0.5)
    assert labels(described(folder, "texts.txt")) == [f"line {i}" for i in range(COUNT)]
    for got, want in zip(labels(described(folder, "boxes.json")), OBJECTS, strict=True):
        np.testing.assert_array_equal(got["labels"], want["labels"])
        np.testing.assert_array_equal(np.reshape(got["boxes"], (-1, 4)), want["boxes"])
    (folder / "classes.json").write_text("[0, 1, 2, 1, 0]")
    assert labels(described(folder, "classes.json"), False) == [0, 1, 2, 1, 0]


def test_parts_of_the_data_keep_their_targets(folder: Path) -> None:
    data = match(open_data(described(folder, "masks")), (1, 2), targets="given").part(1, 4)
    np.testing.assert_array_equal(np.concatenate([y for _, y in data.batches(2) if y is not None]), MASKS[1:4])
    learned, held = data.hold_back(1)
    assert sum(len(x) for x, _ in learned.batches(2)) == 2
    ((_, y),) = held.batches(2)
    assert y is not None
    assert any((y[0] == mask).all() for mask in MASKS[1:4])


def test_targets_come_from_a_column(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra `quantize`)")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (extra `quantize`)")
    pictures = [{"bytes": png(RNG.integers(0, 256, (6, 7, 3)).astype(np.uint8))} for _ in MASKS]
    columns = {
        "image": pictures,
        "mask": [{"bytes": png(m)} for m in MASKS],
        "caption": [f"line {i}" for i in range(5)],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    for label, want in (("mask", list(MASKS)), ("caption", columns["caption"])):
        data = match(open_data(described(tmp_path, label, "data.parquet")), (1, 3, 6, 7), targets="given")
        got = [row for _, y in data.batches(2) for row in y]  # type: ignore[union-attr]
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    with pytest.raises(DataError, match="expected a column 'masks', which `label` names, got columns"):
        open_data(described(tmp_path, "masks", "data.parquet"))


def test_pictures_keep_their_layout_with_targets(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for i in range(COUNT):
        (folder / "pictures" / f"{i}.png").write_bytes(png(RNG.integers(0, 256, (6, 7, 3)).astype(np.uint8)))
    data = match(open_data(described(folder, "masks", "pictures")), (1, 6, 7, 3), targets="given")
    x, y = data.peek()
    assert x.shape == (1, 6, 7, 3)  # type: ignore[union-attr]
    np.testing.assert_array_equal(y, MASKS[:1])
    (folder / "pictures" / "4.png").rename(folder / "pictures" / "5.png")
    with pytest.raises(
        DataError, match=r"4.png \(named by .*data.toml\): expected the mask of 5.png; give both one name"
    ):
        open_data(described(folder, "masks", "pictures"))


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("absent.npy", "expected targets, got no such file or folder; check `label`"),
        ("four.npy", "expected a target for each of 5 samples, got 4"),
        ("x.csv", "expected a .npy, .txt or .json file or a folder of images, got .csv"),
        ("broken.json", "expected targets, got a file that cannot be read"),
        ("dict.json", "expected a list with an entry for each sample, got dict"),
        ("empty", "expected a folder of images, whose pixels are class indices, got none"),
    ],
)
def test_wrong_targets_are_one_error(folder: Path, label: str, text: str) -> None:
    np.save(folder / "four.npy", np.zeros(4))
    (folder / "x.csv").write_text("1,2")
    (folder / "broken.json").write_text("[1, ")
    (folder / "dict.json").write_text("{}")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=rf"{label} \(named by .*data.toml\): {text}"):
        open_data(described(folder, label))


def test_calibration_reads_no_targets(folder: Path) -> None:
    data = open_data(described(folder, "absent.npy"), labels=False)
    assert [y for _, y in data.batches(2)] == [None] * 3


X = np.zeros((COUNT, 2), np.float32)


@pytest.mark.parametrize(
    "source",
    [
        (X, OBJECTS),
        {"x": X, "y": OBJECTS},
        list(zip(X, OBJECTS, strict=True)),
        [(X[:2], OBJECTS[:2]), (X[2:], tuple(OBJECTS[2:]))],
        lambda: zip(X, OBJECTS, strict=True),
    ],
    ids=["pair", "dict", "samples", "batches", "function"],
)
def test_python_objects_of_every_form_are_targets(source: Any) -> None:
    got = labels(source)
    assert [len(entry["labels"]) for entry in got] == [0, 1, 2, 3, 4]


def test_a_dict_of_stacked_targets_is_divided() -> None:
    batch = {"boxes": np.arange(COUNT * 8).reshape(COUNT, 2, 4), "labels": np.zeros((COUNT, 2))}
    got = labels([(X, batch)])
    assert [entry["boxes"][0, 0] for entry in got] == [0, 8, 16, 24, 32]
    with pytest.raises(DataError, match="expected a list with a label for each of 5 samples, got dict"):
        labels([(X, {"boxes": 3})])


def test_labels_that_are_no_numbers_are_refused_for_metrics_of_numbers() -> None:
    with pytest.raises(DataError, match="labels must be whole numbers, got dtype object"):
        labels((X, ["a"] * COUNT), False)
    with pytest.raises(DataError, match="targets must be finite numbers, got NaN, infinities or dtype object"):
        labels((X, OBJECTS), "numbers")
    with pytest.raises(DataError, match="expected a list with a label for each of 5 samples, got list"):
        open_data((X, OBJECTS[:3]), pair=True)
    with pytest.raises(DataError, match=r"5 samples \(shape \(5, 2\)\) but labels of shape \(3, 6, 7\)"):
        open_data((X, MASKS[:3]), pair=True)


def test_the_fingerprint_of_objects_is_that_of_their_values() -> None:
    def print_of(source: Any) -> str:
        return data_fingerprint(match(open_data(source, pair=True), (1, 2), targets="given"))

    again = [{key: value.copy() for key, value in entry.items()} for entry in OBJECTS]
    assert print_of((X, OBJECTS)) == print_of((X, again))
    again[4]["boxes"][3, 3] = 7
    assert print_of((X, OBJECTS)) != print_of((X, again))
