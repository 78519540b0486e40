"""The file: what is written comes back; anything else is one clear error, and nothing is half-written."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intaglio_tests.bit_exact import assert_bit_exact, single_operator_program
from safetensors import safe_open
from safetensors.numpy import save as write_tensors

import intaglio.files.whole as whole
from intaglio.errors import ProgramError
from intaglio.program import OPERATORS, Program, load_program
from intaglio.program.file import from_bytes, parameter_bytes, to_bytes
from intaglio.program.input_ranges import input_ranges

Header = dict[str, Any]
Arrays = dict[str, np.ndarray]


def parts(data: bytes) -> tuple[Header, Arrays]:
    size = struct.unpack_from("<Q", data)[0]
    outer = json.loads(data[8 : 8 + size])
    from safetensors.numpy import load

    return json.loads(outer["__metadata__"]["intaglio"]), load(data)


def sealed(header: Header, arrays: Arrays) -> bytes:
    """A file with any header, and a checksum that is right: what someone with bad intentions would write."""
    text = json.dumps({**header, "checksum": "0" * 64}, separators=(",", ":"))
    data = bytearray(write_tensors(arrays, {"intaglio": text}))
    return seal(data)


def seal(data: bytearray) -> bytes:
    match = re.search(rb'\\"checksum\\":\\"([0-9a-f]{64})\\"', data)
    assert match is not None
    data[match.start(1) : match.end(1)] = b"0" * 64
    data[match.start(1) : match.end(1)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def test_a_program_comes_back_as_it_was(small_program: Program, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.intaglio"
    small_program.save(path)
    again = load_program(path)
    assert (again.inputs, again.outputs, again.rule, again.target, again.batched, again.metadata) == (
        small_program.inputs, small_program.outputs, small_program.rule, "test", True, small_program.metadata,
    )  # fmt: skip
    assert again.tensors == small_program.tensors and list(again.tensors) == list(small_program.tensors)
    assert [(n.name, n.inputs, n.output, n.operator.kind) for n in again.nodes] == [
        (n.name, n.inputs, n.output, n.operator.kind) for n in small_program.nodes
    ]
    x = rng.normal(size=(3, 3, 6, 5)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    for got, want in zip(again.run(*x), small_program.run(*x), strict=True):
        assert_bit_exact(got, want)


def test_the_same_program_gives_the_same_bytes(small_program: Program, tmp_path: Path) -> None:
    data = to_bytes(small_program)
    assert all(to_bytes(from_bytes(data)) == data for _ in range(3))
    for name in ("a", "b"):
        small_program.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == data


def test_it_is_a_safetensors_file_of_integers(small_program: Program, tmp_path: Path) -> None:
    small_program.save(tmp_path / "m.intaglio")
    with safe_open(tmp_path / "m.intaglio", "numpy") as file:
        keys = set(file.keys())
        assert {"constant:shift", "node:conv.node/weight", "node:conv.node/requantize.multiplier"} <= keys
        assert all(file.get_tensor(key).dtype.kind in "iu" for key in keys)
        header = json.loads(file.metadata()["intaglio"])
    assert (header["format"], header["version"], header["rule"]) == ("intaglio-program", 1, "half_up")


def test_narrow_weights_and_constants_are_packed(small_program: Program) -> None:
    _, arrays = parts(to_bytes(small_program))
    assert arrays["node:conv.node/weight"].dtype == np.uint8
    assert arrays["node:conv.node/weight"].size == 4 * 3 * 3 * 3 // 2
    assert arrays["constant:shift"].size == 2
    assert small_program.nbytes == parameter_bytes(small_program) == sum(a.nbytes for a in arrays.values())


def test_writing_replaces_and_leaves_nothing_else(small_program: Program, tmp_path: Path) -> None:
    path = tmp_path / "m.intaglio"
    path.write_bytes(b"old")
    small_program.save(str(path))
    load_program(str(path))
    assert [p.name for p in tmp_path.iterdir()] == ["m.intaglio"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_the_old_file(
    small_program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "m.intaglio"
    path.write_bytes(b"old")

    def interrupted(*args: object) -> None:
        raise error

    monkeypatch.setattr(whole.os, "replace", interrupted)
    with pytest.raises((KeyboardInterrupt, ProgramError)) as caught:
        small_program.save(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.intaglio"]
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path}: cannot be written (No space left on device); choose another folder"


def test_folders_that_cannot_be_written(small_program: Program, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"missing/m.intaglio: cannot be written \(No such file or directory\)"):
        small_program.save(tmp_path / "missing" / "m.intaglio")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ProgramError, match="cannot be written"):
        small_program.save(tmp_path / "file" / "m.intaglio")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProgramError, match="cannot be written"):
        small_program.save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_folder_without_permission(obeys_permissions, small_program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(ProgramError, match="cannot be written"):
        small_program.save(folder / "m.intaglio")
    assert not list(folder.iterdir())


def test_a_program_that_does_not_verify_is_not_written(small_program: Program, tmp_path: Path) -> None:
    small_program.nodes.reverse()
    with pytest.raises(ProgramError, match="order the nodes"):
        small_program.save(tmp_path / "m.intaglio")
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_there_or_nothing_of_ours(tmp_path: Path, small_program: Program) -> None:
    def refused(content: bytes) -> str:
        path = tmp_path / "m.intaglio"
        path.write_bytes(content)
        with pytest.raises(ProgramError) as caught:
            load_program(path)
        assert str(caught.value).startswith(f"{path}: ")
        return str(caught.value)

    with pytest.raises(
        ProgramError, match=r"none.intaglio: cannot be read \(No such file or directory\); check the path"
    ):
        load_program(tmp_path / "none.intaglio")
    with pytest.raises(ProgramError, match=r"cannot be read \(Is a directory\)"):
        load_program(tmp_path)
    assert "got 0 bytes; the file is cut short" in refused(b"")
    assert "expected a .intaglio file (safetensors), got something else" in refused(b"\x89PNG\r\n\x1a\n" * 100)
    assert "expected a .intaglio file, got no readable header" in refused(write_tensors({"x": np.zeros(3, np.int8)}))
    assert "got no readable header" in refused(write_tensors({}, {"intaglio": "[" * 30}))
    assert "nested too deeply" in refused(write_tensors({}, {"intaglio": "[" * 300_000}))
    assert "expected format 'intaglio-program', got 'other'" in refused(
        write_tensors({}, {"intaglio": '{"format": "other", "version": 1}'})
    )
    assert "expected one checksum in the header, got 0" in refused(
        write_tensors({}, {"intaglio": '{"format": "intaglio-program", "version": 1}'})
    )
    import pickle

    assert "got something else" in refused(pickle.dumps({"a": 1}))


@pytest.mark.parametrize(("version", "text"), [
    (2, r"version 2 is newer than this Intaglio reads \(up to 1\); update with `pip install --upgrade intaglio`"),
    (0, "expected a format version of 1 or more, got 0"),
    ("1", "expected a format version of 1 or more, got '1'"),
    (True, "expected a format version of 1 or more, got True"),
])  # fmt: skip
def test_other_versions(small_program: Program, version: Any, text: str) -> None:
    header, arrays = parts(to_bytes(small_program))
    with pytest.raises(ProgramError, match=text):
        from_bytes(sealed({**header, "version": version}, arrays))


def test_every_truncation_is_found(small_program: Program, rng: np.random.Generator) -> None:
    data = to_bytes(small_program)
    lengths = {0, 1, 7, 8, 9, 100, len(data) - 1, len(data) - 8, *rng.integers(0, len(data), 60).tolist()}
    for length in lengths:
        with pytest.raises(ProgramError, match=r"cut short|damaged"):
            from_bytes(data[:length])
    for more in (b"\0", b" ", b"\0" * 8, data):
        with pytest.raises(ProgramError, match="damaged"):
            from_bytes(data + more)


DATA: dict[str, bytes] = {}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_every_changed_byte_is_found(small_program: Program, where: float, change: int) -> None:
    data = bytearray(to_bytes(small_program))
    data[int(where * len(data))] ^= change
    with pytest.raises(ProgramError):
        from_bytes(bytes(data))


def test_every_byte_of_the_header_matters(small_program: Program) -> None:
    """One flipped bit each, in the length, the JSON, its padding and the checksum itself, either case of its digits."""
    data = to_bytes(small_program)
    end = 8 + struct.unpack_from("<Q", data)[0]
    for at in range(0, end, 3):
        for bit in (0, 5):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            with pytest.raises(ProgramError):
                from_bytes(bytes(changed))


def at(*path: Any, value: Any = None, delete: bool = False) -> Callable[[Header, Arrays], None]:
    def change(header: Header, arrays: Arrays) -> None:
        place: Any = header
        for key in path[:-1]:
            place = place[key]
        if delete:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def array(key: str, value: np.ndarray | None) -> Callable[[Header, Arrays], None]:
    def change(header: Header, arrays: Arrays) -> None:
        arrays.pop(key, None)
        if value is not None:
            arrays[key] = value

    return change


CONV, WEIGHT = ("nodes", 1, "fields"), "node:conv.node/weight"
LIES: list[tuple[str, Callable[[Header, Arrays], None], str]] = [
    ("no tensors", at("tensors", delete=True), "header: 'tensors' is missing"),
    ("tensors of a wrong kind", at("tensors", value={}), "expected list, got {}"),
    ("tensor of a wrong kind", at("tensors", 0, value=3), "header: .*subscriptable"),
    ("repeated tensor", lambda h, a: h["tensors"].append(h["tensors"][0]), "tensor names repeat"),
    ("tensor shape", at("tensors", 3, "shape", value=[1, 6, 5, 400]), "makes shape"),
    ("huge tensor", at("tensors", 3, "shape", value=[1, 1 << 40, 1 << 40, 4]), r"takes \d+ bytes, expected less than"),
    ("endless tensor", at("tensors", 3, "shape", value=[1, 10**30]), "expected integers of 64 bits"),
    ("shape of floats", at("tensors", 3, "shape", value=[1, 6.0, 5, 4]), "expected integers of 64 bits, got 6.0"),
    ("shape of booleans", at("tensors", 3, "shape", value=[True, 6, 5, 4]), "expected integers of 64 bits, got True"),
    ("shape as text", at("tensors", 3, "shape", value="1654"), "expected list, got '1654'"),
    ("type", at("tensors", 3, "type", value="float32"), "integer type: expected a name such as int8"),
    ("type of a wrong kind", at("tensors", 3, "type", value=8), "header: expected string"),
    ("name of a wrong kind", at("tensors", 3, "name", value=8), "tensor name: expected str, got 8"),
    ("scale", at("tensors", 0, "params", "scale", value=0), "scale: expected a finite value"),
    ("scale of nothing", at("tensors", 0, "params", "scale", value=[]), "."),
    ("scale as text", at("tensors", 0, "params", "scale", value="x"), "header: scale: expected numbers, got 'x'"),
    ("ragged scales", at("tensors", 0, "params", "scale", value=[1, [2]]), "header: "),
    ("zero point", at("tensors", 0, "params", "zero_point", value=0.5), "zero point: expected integers"),
    ("huge zero point", at("tensors", 0, "params", "zero_point", value=10**30), "zero point: expected"),
    ("no such constant", at("constants", value=["shift", "nothing"]), "constant 'nothing' is not among the tensors"),
    ("constant left out", at("constants", value=[]), "arrays belong to nothing, first 'constant:shift'"),
    ("constant without bytes", array("constant:shift", None), "the file holds no array 'constant:shift'"),
    (
        "constant of other bytes",
        array("constant:shift", np.zeros(3, np.uint8)),
        r"shape \(4,\) of int4 needs 2 bytes, got 3",
    ),
    ("constant as floats", array("constant:shift", np.zeros(2, np.float32)), "expected integers, got float32"),
    ("constant of another dtype", array("constant:shift", np.zeros(2, np.int16)), "expected a packed stream of bytes"),
    ("inputs as text", at("inputs", value="image"), "expected list, got 'image'"),
    ("rule", at("rule", value="nearest"), "'nearest' is not a valid Rule"),
    ("batched", at("batched", value=1), "batched: expected bool, got 1"),
    ("metadata", at("metadata", value=[]), "header: .*items"),
    ("metadata of a wrong kind", at("metadata", value={"a": 1}), "metadata: expected str, got 1"),
    ("nodes as text", at("nodes", value="x"), "expected list, got 'x'"),
    (
        "no such operator",
        at("nodes", 1, "operator", value="conv9d"),
        "operator 'conv9d' is not known to this Intaglio; update it",
    ),
    ("operator of a wrong kind", at("nodes", 1, "operator", value=["x"]), "operator \\['x'\\] is not known|header: "),
    ("no fields", at("nodes", 1, "fields", value=None), "fields: expected dict, got None"),
    ("field left out", at(*CONV, "groups", delete=True), "node 'conv.node': conv2d: 'groups' is missing"),
    ("field too many", at(*CONV, "padding_mode", value=1), "field 'padding_mode' is not known to this Intaglio"),
    ("field of a wrong kind", at(*CONV, "groups", value="1"), "conv2d: expected integers of 64 bits, got '1'"),
    ("field of a boolean", at(*CONV, "groups", value=True), "expected integers of 64 bits, got True"),
    ("field out of bounds", at(*CONV, "groups", value=0), "groups: expected 1 to 2147483647, got 0"),
    ("strides of zero", at(*CONV, "strides", value=[0, 0]), "strides: expected 1 to 2147483647, got 0"),
    ("pads that never end", at(*CONV, "pads", value=[1 << 62] * 4), "pads: expected 0 to 2147483647"),
    ("kernel of a pool", at("nodes", 3, "fields", "kernel", value=[1 << 40, 1]), "kernel: expected 1 to 2147483647"),
    ("weight shape", at(*CONV, "weight", "shape", value=[4, 3, 3, 4]), "needs 72 bytes, got 54"),
    ("huge weight", at(*CONV, "weight", "shape", value=[1 << 50, 3, 3, 3]), "needs .* bytes, got 54"),
    ("negative weight shape", at(*CONV, "weight", "shape", value=[-4, -3, 3, 3]), "."),
    ("weight without shape", at(*CONV, "weight", value={}), "'shape' is missing"),
    ("weight type", at(*CONV, "weight_type", value="int5n"), "needs 68 bytes, got 54"),
    ("unpacked weight", array(WEIGHT, np.zeros((4, 3, 3, 3), np.int8)), "expected a packed stream of bytes"),
    ("weight codes", array(WEIGHT, np.full(54, 0x88, np.uint8)), "the stream holds codes that are outside int4n"),
    ("no weight", array(WEIGHT, None), "the file holds no array 'node:conv.node/weight'"),
    (
        "bias shape",
        array("node:conv.node/bias", np.zeros(5, np.int32)),
        r"the header says shape \(4,\), the file holds \(5,\)",
    ),
    ("bias of floats", array("node:conv.node/bias", np.zeros(4, np.float32)), "expected integers, got float32"),
    ("no multiplier", array("node:conv.node/requantize.multiplier", None), "holds no array"),
    (
        "multiplier",
        array("node:conv.node/requantize.multiplier", np.zeros(4, np.int32)),
        "multiplier is not normalised",
    ),
    ("shifts", array("node:conv.node/requantize.shift", np.zeros(3, np.int32)), "differ in shape"),
    (
        "array too many",
        array("node:none/weight", np.zeros(3, np.int8)),
        "1 arrays belong to nothing, first 'node:none/weight'",
    ),
]


@pytest.mark.parametrize(("lie", "text"), [x[1:] for x in LIES], ids=[x[0] for x in LIES])
def test_a_header_that_lies_is_refused(
    small_program: Program, lie: Callable[[Header, Arrays], None], text: str
) -> None:
    header, arrays = parts(to_bytes(small_program))
    from_bytes(sealed(header, arrays))
    lie(header, arrays)
    with pytest.raises(ProgramError, match=text):
        from_bytes(sealed(header, arrays))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_anywhere_in_the_header_ends_in_a_program_or_an_error(
    small_program: Program, data: st.DataObject
) -> None:
    """No other exception, and no program that would not verify: in a whole Program, and in one of every operator."""
    header, arrays = some_file(small_program, data)
    place, keys = header, []
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        keys.append(key)
        above, place = place, place[key]
    strange = [None, True, 0, -1, 1 << 31, -(1 << 63), 10**40, 0.5, "", "x", [], {}, [1 << 40] * 3, [[]]]
    above[key] = data.draw(st.sampled_from(strange))
    loads_and_runs_or_is_refused(header, arrays)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_in_an_array_ends_in_a_program_or_an_error(small_program: Program, data: st.DataObject) -> None:
    header, arrays = some_file(small_program, data)
    if not arrays:
        return
    key = data.draw(st.sampled_from(sorted(arrays)))
    changed = arrays[key].copy()
    info = np.iinfo(changed.dtype)
    strange = st.sampled_from([info.min, info.min + 1, -1 % (info.max + 1), 0, 1, info.max // 2 + 1, info.max])
    at = data.draw(st.integers(0, changed.size - 1))
    changed.reshape(-1)[at : at + data.draw(st.sampled_from([1, changed.size]))] = data.draw(strange)
    arrays[key] = changed
    loads_and_runs_or_is_refused(header, arrays)


def some_file(small_program: Program, data: st.DataObject) -> tuple[Header, Arrays]:
    if not DATA:
        DATA["small"] = to_bytes(small_program)
        for kind, cls in OPERATORS.items():
            for i, sample in zip(range(4), cls.samples(np.random.default_rng(1)), strict=False):
                DATA[f"{kind} {i}"] = to_bytes(single_operator_program(*sample))
    return parts(DATA[data.draw(st.sampled_from(sorted(DATA)))])


def loads_and_runs_or_is_refused(header: Header, arrays: Arrays) -> None:
    try:
        program = from_bytes(sealed(header, arrays))
    except ProgramError:
        return
    runs(program)


def runs(program: Program) -> None:
    """What verifies, runs, and makes codes of the types that it declares."""
    if sum(math.prod(info.shape) for info in program.tensors.values()) < 1 << 20:
        infos, ranges = [program.tensors[name] for name in program.inputs], input_ranges(program)
        # Indices, which have no grid, may be refused where their reader has no row for them.
        ends = [ranges[i.name] if i.params is None else (i.type.qmin, i.type.qmax) for i in infos]
        for values in zip(*ends, strict=True):
            traced = program.trace(*(np.full(i.shape, v, i.type.dtype) for i, v in zip(infos, values, strict=True)))
            for name, x in traced.items():
                info = program.tensors[name]
                assert (x.shape, x.dtype) == (info.shape, info.type.dtype) and info.type.holds(x), name


def test_two_thousand_damaged_files_end_in_a_program_or_an_error(small_program: Program) -> None:
    """Bytes changed, cut out, put in, doubled and swapped; every second file has a checksum that is right again."""
    rng = np.random.default_rng(2)
    whole = to_bytes(small_program)
    header = 8 + struct.unpack_from("<Q", whole)[0]
    loaded = 0
    for i in range(2000):
        data = bytearray(whole)
        for _ in range(int(rng.choice([1, 1, 2, 5]))):
            at = int(rng.integers(header if rng.random() < 0.7 else len(data)))
            length = int(rng.choice([1, 1, 1, 4, 60]))
            piece = bytes(rng.integers(0, 256, length, np.uint8)) if rng.random() < 0.5 else data[at : at + length]
            kind = int(rng.integers(4))
            if kind == 0:
                data[at : at + length] = piece[:1] * length if rng.random() < 0.5 else piece
            elif kind == 1:
                del data[at : at + length]
            elif kind == 2:
                data[at:at] = piece
            else:  # one digit for another: the JSON stays what it is, but for its meaning
                digits = [k for k in range(at, min(at + 200, len(data))) if 48 <= data[k] <= 57]
                for k in digits[:1]:
                    data[k] = int(rng.integers(48, 58))
        checksum = re.search(rb'\\"checksum\\":\\"([0-9a-f]{64})\\"', data)
        file = seal(data) if i % 2 and checksum is not None else bytes(data)
        try:
            program = from_bytes(file)
        except ProgramError:
            continue
        loaded += 1
        runs(program)
    assert 20 < loaded < 1000


def test_tensors_that_lie_about_their_bytes(small_program: Program) -> None:
    """The safetensors header itself: offsets outside the file, overlaps, sizes that do not fit."""
    data = to_bytes(small_program)
    size = struct.unpack_from("<Q", data)[0]
    for change in (
        lambda t: t.update(data_offsets=[0, 1 << 50]),
        lambda t: t.update(data_offsets=[t["data_offsets"][0] + 1, t["data_offsets"][1]]),
        lambda t: t.update(shape=[1 << 40, 1 << 40]),
        lambda t: t.update(shape=[-1]),
        lambda t: t.update(dtype="F64"),
        lambda t: t.update(dtype="object"),
        lambda t: t.pop("shape"),
    ):
        outer = json.loads(data[8 : 8 + size])
        change(outer["node:logits.node/weight"])
        text = json.dumps(outer, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        changed = bytearray(struct.pack("<Q", len(text)) + text + data[8 + size :])
        with pytest.raises(ProgramError, match="expected a safetensors file|arrays"):
            from_bytes(seal(changed))


def test_a_name_that_looks_like_the_checksum_changes_nothing(small_program: Program) -> None:
    small_program.metadata = {"a": f'"checksum":"{"0" * 64}"', "b": f'\\"checksum\\":\\"{"1" * 64}\\"'}
    again = from_bytes(to_bytes(small_program))
    assert again.metadata == small_program.metadata


@pytest.mark.parametrize("same", [{"a": "nowhere"}, {"a": 1}, [], "overwritten"])
def test_shared_arrays_that_are_not_there(same: Any, small_program: Program) -> None:
    header, arrays = parts(to_bytes(small_program))
    keys = list(arrays)
    wrong = {keys[0]: keys[1]} if same == "overwritten" else same
    with pytest.raises(ProgramError, match=r"is to be the array|same: expected dict"):
        from_bytes(sealed({**header, "same": wrong}, arrays))
