"""Every kind of source gives the same samples, however they are cut."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from intaglio.data import Dataset, match, open_data

N = 150  # more than two chunks


@pytest.fixture
def xy(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((N, 3, 4, 5)).astype(np.float32), rng.integers(0, 7, N)


def npz(tmp_path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path / "data.npz"


def npz_compressed(tmp_path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez_compressed(tmp_path / "data.npz", x=x, y=y)
    return tmp_path / "data.npz"


def npz_fortran(tmp_path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    return npz(tmp_path, np.asfortranarray(x), y)


def descriptor(tmp_path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    npz(tmp_path, x, y)
    (tmp_path / "data.toml").write_text('path = "data.npz"\n')
    return tmp_path / "data.toml"


class Items:
    """A map-style torch Dataset that raises no IndexError at its end."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.x[i % N]), int(self.y[i % N])


LABELLED: dict[str, Callable[[Path, np.ndarray, np.ndarray], Any]] = {
    "npz": npz,
    "npz_compressed": npz_compressed,
    "npz_fortran": npz_fortran,
    "descriptor": descriptor,
    "path as text": lambda d, x, y: str(npz(d, x, y)),
    "pair of arrays": lambda d, x, y: (x, y),
    "pair of tensors": lambda d, x, y: (torch.from_numpy(x), torch.from_numpy(y)),
    "dict": lambda d, x, y: {"x": x, "y": y},
    "labels in a column": lambda d, x, y: (x, y[:, None].astype(np.float64)),
    "list of samples": lambda d, x, y: [(a, b) for a, b in zip(x, y, strict=True)],
    "list of batches": lambda d, x, y: [(x[i : i + 40], y[i : i + 40]) for i in range(0, N, 40)],
    "list of dicts": lambda d, x, y: [{"x": a, "y": b} for a, b in zip(x, y, strict=True)],
    "torch Dataset": lambda d, x, y: Items(x, y),
    "torch DataLoader": lambda d, x, y: torch.utils.data.DataLoader(Items(x, y), batch_size=13),
    "function": lambda d, x, y: lambda: ((a, b) for a, b in zip(x, y, strict=True)),
    "Dataset": lambda d, x, y: open_data((x, y)),
}


def folder_of_samples(path: Path, x: np.ndarray) -> Path:
    for i, sample in enumerate(x):
        np.save(path / f"{i:03}.npy", sample)
    return path


def folder_of_batches(path: Path, x: np.ndarray) -> Path:
    for i in range(0, len(x), 40):
        np.save(path / f"{i:03}.npy", x[i : i + 40])
    return path


def one_npy(path: Path, x: np.ndarray) -> Path:
    np.save(path / "x.npy", x)
    return path / "x.npy"


UNLABELLED: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "array": lambda d, x: x,
    "tensor": lambda d, x: torch.from_numpy(x),
    "npy": one_npy,
    "folder of samples": folder_of_samples,
    "folder of batches": folder_of_batches,
    "list of batches": lambda d, x: [x[i : i + 40] for i in range(0, N, 40)],
    "list of samples": lambda d, x: list(x),
    "two samples": lambda d, x: list(x),
    "function": lambda d, x: lambda: iter(x),
}


def read(dataset: Dataset, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    batches = list(dataset.batches(n))
    assert all(len(x) == n for x, _ in batches[:-1])
    assert 1 <= len(batches[-1][0]) <= n
    x = np.concatenate([x for x, _ in batches])
    return x, None if batches[0][1] is None else np.concatenate([y for _, y in batches])


@pytest.mark.parametrize("n", [1, 32, 64, 1000])
@pytest.mark.parametrize("kind", LABELLED)
def test_every_labelled_source_gives_the_same_batches(kind: str, n: int, tmp_path: Path, xy: Any) -> None:
    data = match(open_data(LABELLED[kind](tmp_path, *xy)), {"image": (1, 3, 4, 5)}, classes=7, need_labels=True)
    for _ in range(2):  # a second pass gives the same
        x, y = read(data, n)
        assert x.dtype == np.float32
        assert y is not None
        assert y.dtype == np.int64
        np.testing.assert_array_equal(x, xy[0])
        np.testing.assert_array_equal(y, xy[1])


@pytest.mark.parametrize("kind", UNLABELLED)
def test_every_unlabelled_source_gives_the_same_batches(kind: str, tmp_path: Path, xy: Any) -> None:
    data = match(open_data(UNLABELLED[kind](tmp_path, xy[0])), (1, 3, 4, 5))
    x, y = read(data, 32)
    assert y is None
    np.testing.assert_array_equal(x, xy[0])


@pytest.mark.parametrize("kind", LABELLED)
def test_parts_of_every_source_are_the_same_samples(kind: str, tmp_path: Path, xy: Any) -> None:
    data = match(open_data(LABELLED[kind](tmp_path, *xy), limit=120), (1, 3, 4, 5))
    assert data.length in (120, None)
    whole = data if data.length is not None else data.cached()
    learned, held = whole.hold_back(30)
    every = np.arange(120)
    for part, want in (
        (data.limit(70), every[:70]), (data.part(70, 100), every[70:100]), (data.part(70, 400), every[70:]),
        (learned, every[every % 4 != 3]), (held, every[every % 4 == 3]), (held.limit(4), every[3:16:4]),
        (held.part(28, 40), every[[115, 119]]), (learned.hold_back(45)[1], every[every % 4 != 3][1::2]),
    ):  # fmt: skip
        assert part.length in (len(want), None)
        x, y = read(part, 16)
        np.testing.assert_array_equal(x, xy[0][want])
        np.testing.assert_array_equal(y, xy[1][want])
        assert part.labels is None or np.array_equal(part.labels, xy[1][want])
        assert part.input_shape == (3, 4, 5) or part.input_shape == {"x": (3, 4, 5)}


@pytest.mark.parametrize("kind", LABELLED)
def test_labels_can_be_passed_over(kind: str, tmp_path: Path, xy: Any) -> None:
    source = LABELLED[kind](tmp_path, *xy)
    if not isinstance(source, Dataset):
        assert read(match(open_data(source, labels=False), (1, 3, 4, 5)), 50)[1] is None


@pytest.mark.parametrize("kind", ["npz", "npz_compressed", "pair of arrays", "pair of tensors"])
def test_a_batch_is_the_readers_own(kind: str, tmp_path: Path, xy: Any) -> None:
    data = open_data(LABELLED[kind](tmp_path, *xy))
    before = xy[0].copy()
    for x, _ in data.batches(64):
        assert isinstance(x, np.ndarray)
        assert x.flags.c_contiguous
        x[:] = 0
    np.testing.assert_array_equal(read(data, 64)[0], before)


def test_targets_that_are_no_labels_do_not_matter_when_labels_are_not_wanted(xy: Any) -> None:
    boxes = [(x, [{"box": (0, 0, 1, 1)}]) for x in xy[0]]
    x, y = read(open_data(boxes, labels=False), 50)
    assert y is None
    np.testing.assert_array_equal(x, xy[0])


def test_without_a_model_labels_tell_samples_from_batches(xy: Any) -> None:
    for kind in ("list of samples", "list of batches", "torch Dataset", "torch DataLoader"):
        x, _ = read(open_data(LABELLED[kind](Path(), *xy)), 50)
        np.testing.assert_array_equal(x, xy[0])


def test_generator_is_read_once_also_behind_match(xy: Any) -> None:
    data = match(open_data((pair for pair in zip(*xy, strict=True)), limit=50), (1, 3, 4, 5), need_labels=True)
    assert data.once
    x, _ = read(data, 20)
    np.testing.assert_array_equal(x, xy[0][:50])


def test_a_prefix_of_a_generator_takes_no_more_than_it_needs(xy: Any) -> None:
    taken = []
    generator = (taken.append(i) or x for i, x in enumerate(xy[0]))
    read(match(open_data(generator, limit=10), (1, 3, 4, 5)), 4)
    assert len(taken) == 10


def test_cached_generator_can_be_read_again_and_held_back(xy: Any) -> None:
    data = open_data((pair for pair in zip(*xy, strict=True)), limit=50).cached()
    learned, held = data.hold_back(25)
    np.testing.assert_array_equal(read(data, 7)[0], xy[0][:50])
    for part, want in ((learned, xy[0][:50:2]), (held, xy[0][1:50:2])):
        np.testing.assert_array_equal(read(part, 7)[0], want)


def test_labels_come_without_the_samples(tmp_path: Path, xy: Any) -> None:
    for kind in ("npz", "pair of arrays"):
        labels = open_data(LABELLED[kind](tmp_path, *xy)).limit(20).labels
        np.testing.assert_array_equal(labels, xy[1][:20])
    assert open_data(xy[0]).labels is None


def test_length_is_known_or_raises(xy: Any) -> None:
    assert len(open_data(xy)) == N
    data = open_data(iter(xy[0]))
    assert data.length is None
    assert data
    with pytest.raises(TypeError, match="not known before a full pass"):
        len(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.bool_, np.float16, np.float64])
def test_other_types_become_float32_with_their_values(dtype: type, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (5, 3)).astype(dtype)
    got, _ = read(open_data(x), 2)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, x.astype(np.float64))


def test_bfloat16_tensors_are_read() -> None:
    x = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    np.testing.assert_array_equal(read(open_data(x), 2)[0], np.arange(6).reshape(2, 3))


def several(kind: str, tmp_path: Path, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> Any:
    if kind == "npz":
        np.savez(tmp_path / "two.npz", b=b, a=a, y=y)
        return tmp_path / "two.npz"
    return {
        "dict": {"b": b, "a": a, "y": y},
        "dicts by name": [{"b": q, "a": p, "y": r} for p, q, r in zip(a, b, y, strict=True)],
        "pairs of dicts": [({"b": q, "a": p}, r) for p, q, r in zip(a, b, y, strict=True)],
        "pairs of tuples": [((p, q), r) for p, q, r in zip(a, b, y, strict=True)],
        "batches": [((a, b), y)],
        "collated lists": [[[torch.from_numpy(a), torch.from_numpy(b)], torch.from_numpy(y)]],
    }[kind]


@pytest.mark.parametrize(
    "kind", ["npz", "dict", "dicts by name", "pairs of dicts", "pairs of tuples", "batches", "collated lists"]
)
def test_several_inputs_come_as_a_dict_in_the_models_order(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    a, b, y = rng.standard_normal((9, 4)), rng.standard_normal((9, 2, 3)), rng.integers(0, 3, 9)
    source = several(kind, tmp_path, a.astype(np.float32), b.astype(np.float32), y)
    data = match(open_data(source), {"a": (1, 4), "b": (1, 2, 3)})
    batches = list(data.batches(4))
    assert [list(x) for x, _ in batches] == [["a", "b"]] * 3
    np.testing.assert_array_equal(np.concatenate([x["a"] for x, _ in batches]), a.astype(np.float32))
    np.testing.assert_array_equal(np.concatenate([x["b"] for x, _ in batches]), b.astype(np.float32))
    np.testing.assert_array_equal(np.concatenate([label for _, label in batches]), y)
    assert data.input_shape == {"a": (4,), "b": (2, 3)} or kind in ("pairs of tuples", "batches", "collated lists")


def test_a_model_without_batch_axis_takes_whole_inputs(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 20)).astype(np.float32)
    (got, _), (_, _) = match(open_data([x, x]), (40, 20), batched=False).batches(1)
    np.testing.assert_array_equal(got, x[None])
    (got, _), (_, _) = match(open_data([x[None], x[None]]), (1, 40, 20), batched=False).batches(1)
    np.testing.assert_array_equal(got, x[None])


def test_reading_an_npz_needs_memory_for_a_batch_only(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "big.npz", x=np.zeros((2000, 64, 64), np.float32))  # 32 MB
    tracemalloc.start()
    for _ in open_data(tmp_path / "big.npz").batches(16):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
