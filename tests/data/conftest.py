"""Small files of every kind that is read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def png() -> Callable[[np.ndarray], bytes]:
    """Encode pixels as a PNG, which loses nothing."""

    def encode(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return encode


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    """Ten RGB images of 8 x 6 (height x width)."""
    return rng.integers(0, 256, (10, 8, 6, 3), dtype=np.uint8)


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write images as a Parquet file; `images` are encoded bytes."""

    def write(images: list[bytes], labels: list[int] | None, rows_per_group: int = 3, column: str = "image") -> Path:
        cells = pa.array(
            [{"bytes": b, "path": None} for b in images], pa.struct({"bytes": pa.binary(), "path": pa.string()})
        )
        columns = {column: cells} | ({} if labels is None else {"label": pa.array(labels)})
        path = tmp_path / "images.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)
        return path

    return write


@pytest.fixture
def image_folder(tmp_path: Path, pixels: np.ndarray, png: Callable[[np.ndarray], bytes]) -> Path:
    """Class folders `ant` (images 0..5) and `bee` (6..9)."""
    root = tmp_path / "insects"
    for i, image in enumerate(pixels):
        folder = root / ("ant" if i < 6 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(image))
    (root / "ant" / "notes.txt").write_text("no image")
    return root
