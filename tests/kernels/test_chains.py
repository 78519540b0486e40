"""Pipelines of rows return what their operators return one after the other, however strips and threads divide them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.harness import SANITIZE, Case, check, reach

from intaglio.kernels.kernel import Tensor
from intaglio.kernels.vector import row_stage as stage
from intaglio.kernels.vector.baremetal import baremetal_chain
from intaglio.kernels.vector.chain import Link, chain_call, fused_length
from intaglio.kernels.vector.vector_isas import VECTORS
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Rule
from intaglio.program.operators.add import Add
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.requantize import Requantize
from intaglio.program.sampling import codes, grid

Ints = np.ndarray


def conv(
    rng: np.random.Generator, x: QuantParams, shape: tuple[int, ...], outputs: int, size: int, **how: int
) -> tuple[Link, QuantParams]:
    groups, stride = how.get("groups", 1), how.get("stride", 1)
    inner = size * size * shape[-1] // groups
    y = grid(x.type, float(x.scale.item()) * 0.6 * inner**0.5, 0 if x.type.signed else int(rng.integers(0, 256)))
    w = grid(IntType(8, narrow=True), rng.uniform(0.005, 0.01, outputs))
    weight = codes(rng, w.type, (outputs, size, size, shape[-1] // groups))
    pads = tuple(int(p) for p in rng.integers(0, size, 4)) if how.get("uneven") else (size // 2,) * 4
    op = Conv2d.from_real(
        x, w, y, weight, rng.uniform(-1, 1, outputs), Rule.HALF_UP, strides=(stride, stride), pads=pads, groups=groups
    )
    return Link(op, (Tensor(shape, x.type),), Tensor(op.shape(shape), y.type)), y


def chain(
    rng: np.random.Generator, kind: str, type: IntType, hidden: int = 0
) -> tuple[list[Link], tuple[Ints, ...], Ints]:
    """A chain of this kind, its inputs, and what comes out."""
    h, w = int(rng.integers(33, 38)), int(rng.integers(5, 23))
    c, hidden = int(rng.integers(1, 7)) * 4 if not hidden else 8, hidden or int(rng.integers(1, 120))
    shape = (1, h, w, c)
    x = grid(type, 0.02, 0 if type.signed else int(rng.integers(0, 256)))
    links: list[Link] = []
    params = x

    def then(outputs: int, size: int, **how: int) -> None:
        nonlocal params
        link, params = conv(rng, params, links[-1].output.shape if links else shape, outputs, size, **how)
        links.append(link)

    if kind == "residual":
        then(hidden, 1)
        then(hidden, 3, groups=hidden)
        then(c, 1)
    elif kind == "strided":
        then(hidden, 1)
        then(hidden, 3, groups=hidden, stride=2, uneven=1)
        then(int(rng.integers(1, 40)), 1)
    elif kind == "tables":
        then(hidden, 1)
        image = links[-1].output
        links.append(Link(Lut(codes(rng, type, (256,)), type, type), (image,), image))
        then(hidden, 3, groups=hidden, uneven=1)
        image, same = links[-1].output, grid(type, float(params.scale.item()) * 0.7, 5)
        links.append(Link(Requantize.from_real(params, same, rule=Rule.HALF_UP), (image,), image))
        params = same
        then(c, 1)
    elif kind == "stem":
        then(hidden, 3, stride=int(rng.integers(1, 3)), uneven=1)
        then(hidden, 5, groups=hidden)
    else:
        then(hidden, 3, uneven=1)
        image = links[-1].output
        pool = MaxPool2d((3, 3), (2, 2), (1, 1), (1, 0, 1, 1), params.type.qmin, params.type.qmax)
        links.append(Link(pool, (image,), Tensor(pool.shape(image.shape), image.type)))
    a = codes(rng, type, shape)
    value = value_after(links, a)
    if kind != "residual":
        return links, (a,), value
    swap = bool(rng.integers(0, 2))
    other = grid(type, 0.03, 0 if type.signed else 100)
    b = codes(rng, type, links[-1].output.shape)
    sides = (other, params) if swap else (params, other)
    add = Add.from_real(*sides, grid(type, float(params.scale.item()) * 1.3, 3), rule=Rule.HALF_UP, subtract=swap)
    links.append(Link(add, (links[-1].output,) * 2, links[-1].output, main=int(swap)))
    return links, (a, b), add.integer(*((b, value) if swap else (value, b)))


def chains(isa: str, kinds: tuple[str, ...]) -> Iterator[Case]:
    for kind in kinds:
        for seed, type in ((1, UINT8), (2, INT8), (3, INT16)):
            if type is INT16 and kind in ("tables", "pool"):
                continue  # tables are of bytes, and so is the border of a pool
            links, inputs, want = chain(np.random.default_rng(seed), kind, type)
            assert fused_length(links, VECTORS[isa]) == len(links), f"{kind} is not fused"
            call = chain_call(links, VECTORS[isa])
            assert call is not None
            yield Case(f"{kind} {isa} seed {seed}", call, inputs, want)


KINDS = ("residual", "strided", "tables", "stem", "pool")


@pytest.mark.parametrize(
    ("strips", "isa"),
    [
        pytest.param(strips, isa, marks=() if strips == 3000 or not isa.startswith("neon") else pytest.mark.slow)
        for strips in (1, 3000, 1 << 18)
        for isa in sorted(VECTORS)
    ],
)
def test_a_pipeline_returns_what_its_operators_return(
    strips: int, isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = reach(isa)
    if how is None:
        pytest.skip(f"needs a compiler, and a processor or an emulator that runs {isa}")
    monkeypatch.setattr(stage, "STRIPS", strips)
    wrong = check(list(chains(isa, KINDS)), tmp_path, how=how, flags=("-O0",))
    assert not wrong, wrong[:20]


def test_pipelines_pass_the_sanitizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isa = next((isa for isa in ("avx512vnni", "avx2") if (how := reach(isa)) is not None and not how.runner), None)
    if isa is None:
        pytest.skip("needs a compiler and a processor with vectors")
    monkeypatch.setattr(stage, "STRIPS", 3000)
    wrong = check(list(chains(isa, KINDS)), tmp_path, how=reach(isa), flags=("-O0", *SANITIZE))
    assert not wrong, wrong[:20]


def baremetal_chains(isa: str) -> Iterator[Case]:
    """Chains in which the expanded image is what memory has no room for."""
    for kind in ("residual", "strided"):
        for seed, type in ((4, UINT8), (5, INT8), (6, INT8)):
            links, inputs, want = chain(np.random.default_rng(seed), kind, type, hidden=90)
            found = baremetal_chain(links, () if isa == "scalar" else (isa,))
            assert found is not None, f"{kind} seed {seed} is not fused"
            length, call = found
            assert length == 3
            if kind == "residual":
                inputs, want = inputs[:1], value_after(links[:3], inputs[0])
            yield Case(f"baremetal {kind} {isa} seed {seed}", call, inputs, want)


def value_after(links: list[Link], value: Ints) -> Ints:
    for link in links:
        value = link.operator.integer(value)
    return value


@pytest.mark.parametrize("isa", ["scalar", "dsp"])
@pytest.mark.parametrize("flags", [(), SANITIZE], ids=["plain", "sanitized"])
def test_a_pipeline_of_a_microcontroller_returns_what_its_operators_return(
    isa: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    how = reach(isa)
    if how is None or (flags and how.runner):
        pytest.skip(f"needs a compiler, and a processor or an emulator that runs {isa}")
    wrong = check(list(baremetal_chains(isa)), tmp_path, how=how, flags=("-O0", *flags))
    assert not wrong, wrong[:20]


def test_a_chain_without_a_large_image_inside_is_left_alone_on_microcontrollers() -> None:
    links, _, _ = chain(np.random.default_rng(7), "residual", INT8, hidden=4)
    assert baremetal_chain(links, ()) is None
