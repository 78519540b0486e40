"""Float against integer predictions, and pictures of what differs."""

from __future__ import annotations

import base64
import io
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intaglio.data import open_data
from intaglio.data.images import Preprocess
from intaglio.evaluation import METRICS
from intaglio.evaluation.evaluate import Differing, Evaluation, Score
from intaglio.report.confusion import SIDE, confusion, pixels_of, thumbnail


def evaluation(real: list[int], integer: list[int], labels: list[int] | None) -> Evaluation:
    predictions = np.array([real, real, integer])
    rng = np.random.default_rng(0)
    kept = [Differing(int(i), rng.normal(size=(3, 8, 8))) for i in np.flatnonzero(predictions[0] != predictions[2])]
    score = Score("top1", 0.0, len(real), "float")
    told = None if labels is None else np.array(labels)
    return Evaluation(METRICS["top1"], (score,) * 3, np.zeros((3, 3)), predictions, (True,) * 3, told, tuple(kept))


def test_every_sample_is_counted_once() -> None:
    data = open_data((np.zeros((5, 3, 8, 8), np.float32), np.array([0, 0, 1, 2, 2])))
    found = confusion(evaluation([0, 0, 2, 1, 2], [0, 1, 1, 0, 2], [0, 0, 1, 2, 2]), data)
    assert found is not None
    assert found.samples == 5
    assert found.cells == {(0, 0): 1, (0, 1): 1, (2, 1): 1, (1, 0): 1, (2, 2): 1}
    assert found.changed == 3
    assert found.outcomes == {"both right": 2, "only float right": 1, "only integer right": 1, "both wrong": 1}
    assert [(d.number, d.label, d.real, d.integer) for d in found.differing] == [
        (1, 0, 0, 1),
        (2, 1, 2, 1),
        (3, 2, 1, 0),
    ]
    assert all(d.image and d.image.startswith("data:image/png;base64,") for d in found.differing)
    assert found.name(7) == "7"


def test_regression_targets_have_no_confusion() -> None:
    assert confusion(evaluation([0], [1], None), open_data(np.zeros((1, 4), np.float32))) is None


def test_sounds_have_no_preprocessing_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "word").mkdir()
    with wave.open(str(tmp_path / "word" / "0.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    (tmp_path / "test.toml").write_text('path = "."\n[sound]\n')
    found = confusion(evaluation([0], [1], [0]), open_data(tmp_path / "test.toml"))
    assert found is not None
    assert found.changed == 1


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("channels", "order"), [(1, "RGB"), (3, "RGB"), (3, "BGR")])
def test_preprocessing_of_a_picture_is_undone_exactly(layout: str, channels: int, order: str) -> None:
    seed = 5
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (20, 30, 3) if channels == 3 else (20, 30)).astype(np.uint8)
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    prepare = Preprocess(mean=mean, std=std, layout=layout, channels=order)  # type: ignore[arg-type]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    back = pixels_of(prepare(buffer.getvalue(), "test"), prepare)
    assert back is not None
    np.testing.assert_array_equal(back, pixels, err_msg=f"seed {seed}")


def test_without_preprocessing_the_range_is_stretched() -> None:
    x = np.linspace(-3, 5, 3 * 8 * 9).reshape(3, 8, 9)
    pixels = pixels_of(x)
    assert pixels is not None
    assert pixels.shape == (8, 9, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    flat = pixels_of(np.full((8, 9, 1), 2.0))
    assert flat is not None
    assert flat.shape == (8, 9)


@pytest.mark.parametrize("shape", [(640,), (49, 10), (3, 4, 4), (16, 8, 8), (2, 3, 8, 8)])
def test_arrays_that_are_not_images_have_no_picture(shape: tuple[int, ...]) -> None:
    assert pixels_of(np.zeros(shape)) is None


def test_a_sample_that_is_not_finite_has_no_picture() -> None:
    assert pixels_of(np.full((3, 8, 8), np.nan)) is None


def test_thumbnails_are_small_and_lossless_if_possible() -> None:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    address, size = thumbnail(small)
    assert address is not None
    assert size == (32, 32)
    decoded = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(decoded), small)
    address, size = thumbnail(rng.integers(0, 256, (600, 300, 3)).astype(np.uint8))
    assert address is not None
    assert size == (SIDE // 2, SIDE)
    assert len(address) < 12_000
