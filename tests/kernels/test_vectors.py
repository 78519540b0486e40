"""Vector kernels: what their constants promise, and that parity notices when one of them changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.boundaries import LAYERS, boundary_samples
from intaglio_tests.harness import cases, check, operands, reach

from intaglio.kernels.kernel import ROOT, kernels
from intaglio.kernels.vector.depthwise import signed_bytes
from intaglio.kernels.vector.vector_isas import VECTORS
from intaglio.kernels.vector.wide import LARGEST, REACH, wide_segments

MUTATIONS = [  # operator, first input's type, output's type, file, what it says, what it says instead
    ("conv2d", "uint8", "", "vector/tile.h", "IG_FULL_\n", "1\n"),
    ("conv2d", "int8", "", "vector/tile.h", "ig_flip(ig_broadcast_row(s, step, r))", "ig_broadcast_row(s, step, r)"),
    ("conv2d", "int16", "", "vector/tile.h", "panel->bias + b", "panel->bias + 0 * b"),
    ("conv2d", "int16", "int8", "vector/tile_wide.h", "sum[r][c] += part[r][c]", "sum[r][c] = part[r][c]"),
    ("conv2d", "int16", "int16", "vector/tile_wide.h", "i + p->together", "i + p->together + 1"),
    ("conv2d", "int16", "", "vector/depthwise16_tile.h", "taps[k + 1]", "taps[k]"),
    ("conv2d", "uint8", "", "vector/depthwise_tile.h", "IG_TERM_(j, r, 0) IG_TERM_(j, r, 1)\n", "IG_TERM_(j, r, 0)\n"),
    ("conv2d", "uint8", "", "vector/depthwise_rows.h", "p->width - g->width", "p->width - g->width - 1"),
    ("conv2d", "", "", "vector/rows.h", "row1 - 1) * stage->stride", "row1 - 2) * stage->stride"),
    ("add", "uint8", "", "vector/add_rows.h", "half ? 19", "half ? 18"),
    ("add", "int16", "", "vector/add16_rows.h", "half ? 2 :", "half ? 1 :"),
    ("mul", "uint8", "", "vector/mul_rows.h", "IG_PIXEL_ == 1 ? skip", "IG_PIXEL_ == 1 ? x"),
    ("lut", "", "", "vector/lut_rows.h", "p->nbytes - k < 4", "p->nbytes - k < 3"),
    ("max_pool2d", "int8", "", "vector/max_pool_rows.h", "k = 1;", "k = 2;"),
    ("rnn", "", "", "vector/recurrent_product.h", "panel->left + b", "panel->left + 0 * b"),
    ("rnn", "", "", "vector/recurrent_gates.h", "to - 1 - (k - from)", "to - 1"),
    ("gru", "", "", "vector/recurrent_gates.h", "-IG_TERM_MAX, IG_TERM_MAX", "-IG_TERM_MAX / 4, IG_TERM_MAX / 4"),
    ("lstm", "", "", "vector/recurrent.h", "ig_splat(1 << 14)", "ig_splat(1 << 13)"),
    ("lstm", "", "", "lstm/lstm.h", "next, ig_splat(1 << p->finer)", "next, ig_splat(1)"),
    ("gru", "", "", "gru/gru.h", "ig_splat(1 << 11)), 12)", "ig_splat(1 << 11)), 11)"),
    ("gru", "", "", "gru/gru.h", "IG_PRODUCTS(r, reset,", "IG_PRODUCTS(r, hidden,"),
]


@pytest.fixture(scope="module")
def isa() -> str:
    found = next((isa for isa in ("avx2", "neon") if reach(isa) is not None), None)
    if found is None:
        pytest.skip("needs a compiler, and a processor or an emulator with vectors")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "x", "y", "file", "was", "now"), MUTATIONS, ids=[f"{m[3]}-{i}" for i, m in enumerate(MUTATIONS)]
)
def test_a_change_of_one_constant_turns_parity_red(
    kind: str, x: str, y: str, file: str, was: str, now: str, isa: str, tmp_path: Path
) -> None:
    root = tmp_path / "kernels"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (root / file).read_text()
    assert was in text, f"{file} no longer says {was!r}; choose another mutation"
    (root / file).write_text(text.replace(was, now, 1))
    found = [c for c in cases(kind, isa) if c.inputs[0].dtype.name.startswith(x) and c.want.dtype.name.startswith(y)]
    assert check(found, tmp_path, how=reach(isa), flags=("-O0",), root=root)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_that_loop_run_in_vectors(kind: str) -> None:
    """No rule but `half_away`, size or type of these samples falls back to the scalar kernel without a word."""
    for sample in boundary_samples(kind, np.random.default_rng(0)):
        inputs, y = operands(sample)
        for row in kernels()[kind]:
            if row.isa in VECTORS:
                assert row.bind(sample[0], inputs, y) is not None, (row.isa, sample[0])


@pytest.mark.parametrize("seed", range(20))
def test_sums_over_segments_fit_32_bits_and_nothing_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, segments, depth = rng.integers(1, 5), rng.integers(1, 8), 2 * int(rng.integers(1, 900))
    weight = rng.choice([-255, 255, 0, 7], (outputs, segments, depth), p=[0.4, 0.1, 0.2, 0.3]).astype(np.int16)
    offsets = (np.arange(segments, dtype=np.int32) * 2 * depth).astype(np.int32)
    at, pieces, together = wide_segments(offsets, weight)
    x = rng.integers(-REACH, REACH, segments * depth)
    want = (weight.reshape(outputs, -1).astype(np.int64) * x).sum(axis=1)
    size = pieces.shape[2]
    # Every piece lies within one segment, so that nothing behind it is read.
    assert (at // (2 * depth) == (at + 2 * size - 1) // (2 * depth)).all()
    read = np.stack([x[a // 2 : a // 2 + size] for a in at])
    assert_bit_exact((pieces.astype(np.int64) * read).sum(axis=(1, 2)), want, f"seed {seed}")
    most = np.abs(pieces.astype(np.int64)).sum(axis=2) * REACH
    sums = np.add.reduceat(most, np.arange(0, at.size, together), axis=1)
    assert (sums < LARGEST).all(), f"seed {seed}"


@pytest.mark.parametrize(
    ("low", "high", "count"), [(-128, 127, 1), (-129, 0, 2), (0, 128, 2), (-255, 254, 2), (0, 255, 3)]
)
def test_weights_are_sums_of_signed_bytes(low: int, high: int, count: int) -> None:
    weight = np.arange(low, high + 1)
    terms = signed_bytes(weight)
    assert terms.dtype == np.int8
    assert len(terms) == count
    assert_bit_exact(terms.sum(axis=0, dtype=np.int64), weight.astype(np.int64))
