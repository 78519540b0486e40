"""Damaged files end in an error of ours or in the right numbers, whatever was done to their bytes."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import intaglio as ig
from intaglio.calibrate import Statistics, observe
from intaglio.data import open_data
from intaglio.data.descriptor import read_descriptor
from intaglio.data.images import Preprocess
from intaglio.data.parquet import ParquetSource
from intaglio.errors import IntaglioError, PlanError
from intaglio.files.reading import UnreadableError, read_npy, read_npz, read_text
from intaglio.plan import Plan, place
from intaglio.recover.rounding_checkpoint import RoundingCheckpoint
from intaglio.search.attempts import Attempt, AttemptFile
from intaglio.search.effect import Effect
from intaglio.search.sensitivity_table import LayerSensitivity, Sensitivities, SensitivityFile
from intaglio.targets import load_target
from intaglio.train.loop.checkpoint import State, random_state
from intaglio.train.loop.checkpoint import load as load_training
from intaglio.train.loop.checkpoint import save as save_training

SETTINGS = {"algorithm": "a", "rates": [0.5, 1.0]}


def damaged(rng: np.random.Generator, good: bytes) -> bytes:
    """Bits flipped (half of them in the first 300 bytes, where headers are), cut off, inserted, or parts swapped."""
    raw = bytearray(good)
    kind = rng.integers(4)
    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            raw[rng.integers(min(300, len(raw)) if rng.integers(2) else len(raw))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        raw = raw[: rng.integers(len(raw))]
    elif kind == 2:
        at = rng.integers(len(raw))
        raw[at:at] = rng.bytes(int(rng.integers(1, 40)))
    else:
        first, second = sorted(rng.integers(len(raw), size=2))
        raw = raw[second:] + raw[first:second] + raw[:first]
    return bytes(raw)


def write_npy(path):
    np.save(path, np.random.default_rng(0).normal(size=(100, 3, 4)).astype(np.float32))


def write_npz(path):
    x = np.random.default_rng(0).normal(size=(100, 3, 4)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(100) % 3)


def write_checkpoint(path):
    RoundingCheckpoint(path, SETTINGS).add({"layer": np.arange(60).reshape(6, 10), "other": np.zeros((2, 2))})


def write_attempts(path):
    AttemptFile(path, SETTINGS).add(Attempt("recovery", "mse", 91.5, None, 2.0))


def write_descriptor(path):
    path.write_text('path = "a.parquet"\n[image]\nsize = 32\nmean = [0.5, 0.4, 0.4]\nstd = [0.2, 0.2, 0.3]\n')


def write_target(path):
    formats = (
        '[[activations]]\ntype = "uint8"\nscheme = "asymmetric"\n[[weights]]\ntype = "int8n"\nscheme = "symmetric"\n'
    )
    path.write_text(f'version = 1\nname = "t"\n{formats}[operators.Sigmoid]\nscale = 0.1\nzero_point = 3\n')


def write_image(path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def read_image(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what it can leave out
        assert Preprocess(crop=16)(path, str(path)).shape == (3, 16, 16)


def write_parquet(path):
    images = []
    for seed in range(6):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array(images, kind), "label": pa.array(range(6))})
    pq.write_table(table.replace_schema_metadata({"class_names": "a,b,c,d,e,f"}), path, row_group_size=3)


def read_parquet(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = ParquetSource(path, Preprocess())
        source.labels()
        for chunk in source.chunks(0, None, None):
            assert chunk.x[0].dtype == np.float32


def small_graph():
    w = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", ("N", 4)), ("h", None), ("y", ("N", 3)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="dense"),
        helper.make_node("Tanh", ["h"], ["y"], name="t"),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[2:], [numpy_helper.from_array(w, "w")])
    return ig.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def write_plan(path):
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    path.write_text(
        ig.quantize(small_graph(), x, calibrator="max", equalize=False, bias_correction=False).plan.to_json()
    )


def read_plan(path):
    """As a user reads one, who has no path to give to `from_json`."""
    try:
        text = read_text(path)
    except UnreadableError as error:
        raise PlanError(f"{path}: {error}") from None
    try:
        plan = Plan.from_json(text)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    assert Plan.from_json(plan.to_json()) == plan


def write_statistics(path):
    graph = small_graph()
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    observe(graph, place(graph, load_target("cpu-int8")), open_data(x)).save(path)


def write_sensitivities(path):
    layers = [LayerSensitivity(n, "Conv", Effect(31.5, 90.0), Effect(18.25, float("nan"))) for n in "ab"]
    found = Sensitivities("net", "cpu-int8", "top1", 32, 100, 91.0, Effect(17.0, 88.0), layers)
    SensitivityFile(path, {"network": "n", "data": "d"}).write(found)


def read_sensitivities(path):
    found = SensitivityFile(path, {"network": "n", "data": "d"}).found
    if found is not None:
        assert len(found.ranking()) == len(found.to_json()["layers"])


def write_training(path):
    module = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    state = State(
        3,
        module.state_dict(),
        optimizer.state_dict(),
        random_state(),
        {"seconds": 1.0, "loss": 2.0, "count": 4, "lr": 0.1},
    )
    save_training(path, SETTINGS, state)


def read_all(path):
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in open_data(path).batches(32):
            pass


FORMATS = {
    "x.npy": (write_npy, read_all),
    "x.npz": (write_npz, read_all),
    "checkpoint.npz": (write_checkpoint, lambda path: RoundingCheckpoint(path, SETTINGS)),
    "attempts.json": (write_attempts, lambda path: AttemptFile(path, SETTINGS)),
    "data.toml": (write_descriptor, read_descriptor),
    "target.toml": (write_target, load_target),
    "image.png": (write_image, read_image),
    "image.jpg": (write_image, read_image),
    "image.gif": (write_image, read_image),
    "image.tif": (write_image, read_image),
    "image.bmp": (write_image, read_image),
    "image.webp": (write_image, read_image),
    "images.parquet": (write_parquet, read_parquet),
    "plan.json": (write_plan, read_plan),
    "statistics.npz": (write_statistics, Statistics.load),
    "sensitivities.json": (write_sensitivities, read_sensitivities),
    "training.pt": (write_training, lambda path: load_training(path, SETTINGS)),
}


def fuzz(name, count, tmp_path, rng):
    write, read = FORMATS[name]
    path = tmp_path / name
    write(path)
    read(path)
    good, refused = path.read_bytes(), 0
    for _ in range(count):
        path.write_bytes(damaged(rng, good))
        try:
            read(path)
        except IntaglioError as error:
            assert name in str(error), error
            refused += 1
    assert refused > count // 8  # pixels and spaces may change


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name, tmp_path, rng):
    fuzz(name, 40, tmp_path, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(name, tmp_path, rng):
    fuzz(name, 2000, tmp_path, rng)


def test_a_checkpoint_whose_arrays_were_exchanged_is_refused(tmp_path):
    """Each array's own checksum is right; the whole one is not."""
    path = tmp_path / "c.npz"
    write_checkpoint(path)
    arrays = read_npz(path)
    np.savez_compressed(path, **{**arrays, "array0": arrays["array0"].ravel()[:1]})
    with pytest.raises(IntaglioError, match="its contents have changed since it was written"):
        RoundingCheckpoint(path, SETTINGS)


@pytest.mark.parametrize("score", [[], "x", True, 1e999])
def test_attempts_of_wrong_types(tmp_path, score):
    path = tmp_path / "a.json"
    write_attempts(path)
    data = json.loads(path.read_text())
    data["attempts"][0]["score"] = score
    path.write_text(json.dumps(data))
    with pytest.raises(IntaglioError, match="score: got"):
        AttemptFile(path, SETTINGS)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_file_that_changes_while_it_is_read(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    x = np.zeros((500, 64), np.float32)
    np.save(path, x) if suffix == "npy" else np.savez(path, x=x)
    data = open_data(path)
    batches = data.batches(64)
    next(batches)
    with path.open("r+b") as file:
        file.truncate(30_000)
    with pytest.raises(IntaglioError, match=rf"x\.{suffix}: expected a .* got one that cannot be read"):
        list(batches)
    np.save(path, x.astype(np.float64)) if suffix == "npy" else np.savez(path, x=x.astype(np.float64))
    with pytest.raises(IntaglioError, match="changed while it was in use"):
        list(data.batches(64))


@pytest.mark.parametrize("x", [np.float32(3), np.zeros((0, 3)), np.asfortranarray(np.arange(6.0).reshape(2, 3))])
def test_arrays_are_read_as_numpy_writes_them(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    np.savez_compressed(tmp_path / "x.npz", x=x)
    for got in (read_npy(tmp_path / "x.npy"), read_npz(tmp_path / "x.npz")["x"]):
        assert got.shape == np.shape(x)
        assert np.array_equal(got, x)
    with pytest.raises(UnreadableError, match="regular file"):
        read_npy("/dev/zero")
