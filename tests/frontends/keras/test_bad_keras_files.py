"""Keras files and models that are refused: damage, code, unknown layers, another backend. One error says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from intaglio_tests.keras_nets import keras_or_skip

from intaglio.errors import ModelError, UsageError
from intaglio.frontends import load

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3.15 with NumPy 2.4, when it saves
)


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    return keras_or_skip()


@pytest.fixture(scope="module")
def saved(keras: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network as net.keras and net.h5."""
    folder = tmp_path_factory.mktemp("keras")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="dense")])
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    return folder


def rewritten(source: Path, target: Path, change: Any) -> Path:
    """A copy of a .keras archive whose members are changed: a dict of contents by name, changed in place."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def with_config(members: dict[str, bytes], change: Any) -> None:
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.update({"run.py": b""}), r"got 'run\.py' as well; save the model again"),
        (lambda m: m.update({"assets/words.txt": b""}), r"got 'assets/words\.txt' as well"),
        (lambda m: m.pop("metadata.json"), r"got no metadata\.json"),
        (lambda m: m.update({"config.json": b"{"}), r"expected a description of a network in JSON"),
        (lambda m: m.update({"config.json": b"[1]"}), r"expected the description of a Keras model, got other JSON"),
        (lambda m: m.update({"model.weights.h5": m["model.weights.h5"][:900]}), r"damaged or was cut short"),
        (lambda m: m.update({"model.weights.h5": b"nothing"}), r"damaged or was cut short"),
    ],
    ids=["python", "assets", "member missing", "no JSON", "other JSON", "weights cut", "no weights"],
)
def test_archive_with_other_contents(saved: Path, tmp_path: Path, change: Any, text: str) -> None:
    path = rewritten(saved / "net.keras", tmp_path / "bad.keras", change)
    with pytest.raises(ModelError, match=text) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_file(saved: Path, tmp_path: Path, suffix: str) -> None:
    content = (saved / f"net{suffix}").read_bytes()
    path = tmp_path / f"bad{suffix}"
    for size in (0, 3, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"bad\.(keras|h5): expected"):
            load(path)


def test_suffix_and_content_differ(saved: Path, tmp_path: Path) -> None:
    for found, claimed in ((".h5", ".keras"), (".keras", ".h5")):
        path = tmp_path / f"net{claimed}"
        path.write_bytes((saved / f"net{found}").read_bytes())
        with pytest.raises(ModelError, match=rf"rename it to \{found}"):
            load(path)
    with pytest.raises(ModelError, match=r"none\.keras: expected a Keras model file, got nothing there"):
        load(tmp_path / "none.keras")


def test_decompression_bomb(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(saved / "net.keras") as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in archive.namelist():
            bomb.writestr(name, bytes(200_000_000) if name.endswith(".h5") else archive.read(name))
    with pytest.raises(ModelError, match=r"refused as a decompression bomb"):
        load(path)


def test_weights_outside_the_file(keras: ModuleType, saved: Path, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "linked.h5"
    path.write_bytes((saved / "net.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["model_weights"]["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ModelError, match=r"expected weights inside the file, got the link 'elsewhere'"):
        load(path)


def test_weights_alone(keras: ModuleType, saved: Path, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    model.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ModelError, match=r"expected a whole model, got weights alone; .* with --weights"):
        load(tmp_path / "net.weights.h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambda_layer_is_code(keras: ModuleType, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    path = tmp_path / f"net{suffix}"
    keras.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x * 2, name="twice")]).save(path)
    with pytest.raises(
        ModelError, match=r"\[Lambda 'twice'\] expected layers that Keras defines, got a function stored"
    ):
        load(path)


def test_lambda_inside_another_layer_is_found(saved: Path, tmp_path: Path) -> None:
    def change(config: Any) -> None:
        code = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}
        config["config"]["layers"][1]["config"]["activation"] = code

    path = rewritten(saved / "net.keras", tmp_path / "bad.keras", lambda members: with_config(members, change))
    with pytest.raises(ModelError, match=r"got a function stored as code, which is not run"):
        load(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_layer_is_named_and_can_be_given(keras: ModuleType, tmp_path: Path, suffix: str) -> None:
    class Half(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x / 2

    path = tmp_path / f"net{suffix}"
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3), Half(name="half")]).save(path)
    with pytest.raises(ModelError, match=r"\[Half 'half'\] .* custom_objects=\{'Half': Half\}\), or .*factory"):
        load(path)
    graph = load(path, custom_objects={"Half": Half})
    assert any(node.name == "half" or node.op_type == "Gemm" for node in graph.nodes)
    assert len(graph.outputs) == 1


def test_settings_without_equivalent_are_named(keras: ModuleType, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "net.h5"
    keras.Sequential([keras.layers.Input((5, 4)), keras.layers.LSTM(3, name="lstm")]).save(path)

    def set_time_major(value: bool) -> None:
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            config["config"]["layers"][1]["config"]["time_major"] = value
            file.attrs["model_config"] = json.dumps(config)

    set_time_major(True)
    with pytest.raises(
        ModelError, match=r"\[LSTM 'lstm'\] expected time_major=False, as Keras 3 has no other, got True"
    ):
        load(path)


def test_arguments_of_other_kinds_of_models(saved: Path) -> None:
    with pytest.raises(UsageError, match=r"expected constants only beside an ONNX model, got it beside .*net\.keras"):
        load(saved / "net.keras", constants={"x": 1})


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )


def test_keras_is_imported_only_for_its_models_and_on_pytorch(saved: Path) -> None:
    code = f"""
import sys
from intaglio.frontends import load
assert "keras" not in sys.modules and "h5py" not in sys.modules
load({str(saved / "net.keras")!r})
import keras, os
assert keras.backend.backend() == "torch" and os.environ["KERAS_BACKEND"] == "tensorflow"
"""
    done = run_python(code, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr


def test_keras_on_another_backend_is_one_error(keras: ModuleType, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for given in (model, saved / "net.keras"):
        with pytest.raises(UsageError, match=r"backend torch, got jax, .* KERAS_BACKEND=torch before the first import"):
            load(given)


def test_absent_keras_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("raise ModuleNotFoundError(\"No module named 'keras'\")")
    (tmp_path / "net.keras").write_bytes(b"PK\x03\x04")
    code = f"""
from intaglio.errors import UsageError
from intaglio.frontends import load
try:
    load({str(tmp_path / "net.keras")!r})
except UsageError as error:
    assert "pip install 'intaglio[keras]'" in str(error), error
else:
    raise SystemExit("loaded")
"""
    done = run_python(code, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
