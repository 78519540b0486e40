"""Random networks of real architectures, on every target and on every engine of this machine.

`INTAGLIO_RANDOM_NETWORKS=10000 INTAGLIO_RANDOM_RECORD=found.jsonl pytest -n 2 tests/networks` searches longer, and
compares each network with ONNX Runtime's quantizer; a seed names a network.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intaglio_tests.architectures import draw
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.engines import HERE, PEERS, Builder, float_outputs, peer_outputs, sqnr
from numpy.typing import NDArray

import intaglio as ig
import intaglio.targets
from intaglio.errors import IntaglioError
from intaglio.evaluation.stage import FloatStage
from intaglio.program import Program
from intaglio.program.file import from_bytes, to_bytes
from intaglio.program.sampling import codes

TARGETS = tuple(sorted(path.stem for path in Path(intaglio.targets.__file__).parent.glob("*.toml")))
COUNT = int(os.environ.get("INTAGLIO_RANDOM_NETWORKS", "45"))
FIRST = int(os.environ.get("INTAGLIO_RANDOM_FIRST", "0"))
RECORD = os.environ.get("INTAGLIO_RANDOM_RECORD")  # a file that gets one line of JSON for each network
PLAIN = {"calibrator": "max", "equalize": False, "bias_correction": False}
BEHIND = 6.0  # dB that a program may lie behind the peer without a sentence that says why
EXACT = 60.0  # dB between the loaded Graph and ONNX Runtime, both in float32
ENOUGH = 60.0  # dB from which two results count as equal: one step of 16 bits beside an exact softmax is 90 dB


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    return Builder(tmp_path_factory.mktemp("headers"))


@pytest.fixture
def record() -> Iterator[dict[str, Any]]:
    """What is known of a network when its test ends."""
    facts: dict[str, Any] = {}
    yield facts
    if RECORD is not None:
        with open(RECORD, "a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_every_engine_returns_the_same_integers(seed: int, builder: Builder, record: dict[str, Any]) -> None:
    drawn = draw(seed)
    rng = np.random.default_rng((seed, 7))
    target = TARGETS[int(rng.integers(len(TARGETS)))]
    data = drawn.data(32)
    # Compared on the calibration data: no range is too small for them. Beside a peer on all of them: of a few samples
    # one in which two classes are nearly equal decides.
    x = data if RECORD is not None and target in PEERS else {name: a[:6] for name, a in data.items()}
    recipe = PLAIN if rng.random() < 0.85 else {}
    record.update(seed=seed, family=drawn.family, target=target, recipe="plain" if recipe else "default")
    try:
        q = ig.quantize(ig.load(drawn.model), data, target, **recipe)
        program = q.lower()
    except IntaglioError as refused:
        record.update(refused=f"{type(refused).__name__}: {refused}")
        pytest.fail(f"{drawn.family} on {target} was refused: {refused}")
    program = from_bytes(to_bytes(program))
    calls = [x_codes(program, rng, 5, extreme=False), x_codes(program, rng, 3, extreme=True)]
    for name in engines(rng):
        native = builder.build(program, name, optimized=bool(rng.random() < 0.03))
        for inputs in calls:
            wanted = listed(program.run_int(*inputs))
            for output, got, want in zip(program.outputs, listed(native.run_int(*inputs)), wanted, strict=True):
                assert_bit_exact(got, want, f"{name}: {output}")
    real = float_outputs(drawn.model, x)
    ours = listed(program.run(x))
    loaded = decibels(listed(FloatStage(q.prepared).run(*x.values())), real)
    assert min(loaded) >= EXACT, f"the loaded Graph computes something else: {loaded} dB"
    record.update(ours=decibels(ours, real), simulated=decibels(listed(q.simulate(*x.values())), ours))
    if RECORD is not None and target in PEERS:
        theirs = peer_outputs(drawn.model, target, data, x)
        peer = None if theirs is None else decibels(theirs, real)
        record.update(peer=peer)
        for name, mine, other in zip(program.outputs, record["ours"], peer or record["ours"], strict=True):
            assert mine >= min(other, ENOUGH) - BEHIND, f"{name}: {mine} dB, ONNX Runtime's quantizer {other} dB"


def engines(rng: np.random.Generator) -> list[str]:
    """Plain C, the processor's own, and now and then the build that holds several."""
    return [name for name in HERE if name != "x86-64" or rng.random() < 0.03]


def x_codes(program: Program, rng: np.random.Generator, batch: int, *, extreme: bool) -> list[NDArray[Any]]:
    infos = [program.tensors[name] for name in program.inputs]
    return [codes(rng, i.type, (batch, *i.shape[1:]), extreme=extreme) for i in infos]


def decibels(got: list[NDArray[Any]], want: list[NDArray[Any]]) -> list[float]:
    return [round(sqnr(g, w), 2) for g, w in zip(got, want, strict=True)]


def listed(values: Any) -> list[NDArray[Any]]:
    return list(values) if isinstance(values, tuple) else [values]
