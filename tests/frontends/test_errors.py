"""Every file that cannot become a Graph is one clear error."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net

from intaglio.errors import ModelError, UnsupportedOperatorError, UsageError
from intaglio.frontends import load, load_onnx
from intaglio.simulate import Simulator

f = np.float32


def small() -> Net:
    net = Net()
    x = net.input("x", (1, 4, 6, 6))
    return net.output(net.conv(x, 4, 8))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: expected a model file, got nothing there; check the path"):
        load_onnx(tmp_path / "none.onnx")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a model file, got a directory"):
        load_onnx(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match=r"empty\.onnx: expected a model, got an empty file"):
        load_onnx(tmp_path / "empty.onnx")


def test_truncated_file(tmp_path: Path) -> None:
    path, content = tmp_path / "cut.onnx", small().model().SerializeToString()
    for size in (len(content) - 1, len(content) // 2, 10):
        path.write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"cut\.onnx: expected an ONNX model, got"):
            load_onnx(path)


@pytest.mark.parametrize(
    "content", [b"hello, this is no model", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000), b"PK\x03\x04" * 50]
)
def test_no_onnx(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"odd\.onnx: expected an ONNX model, got"):
        load_onnx(tmp_path / "odd.onnx")


def test_other_suffixes_are_explained(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"x")
    told = (
        r"weights\.pt: expected an \.onnx, \.tflite, \.keras or \.h5 file, got \.pt; "
        r"in Python give a torch\.nn\.Module .*package\.module:factory"
    )
    with pytest.raises(UsageError, match=told):
        load(tmp_path / "weights.pt")


def test_something_else_than_a_model() -> None:
    with pytest.raises(UsageError, match="a Keras model or a Graph, got int"):
        load(3)  # type: ignore[arg-type]


def test_no_outputs() -> None:
    model = small().model()
    del model.graph.output[:]
    with pytest.raises(ModelError, match="expected a graph with outputs, got none"):
        load_onnx(model)


def test_no_inputs() -> None:
    net = Net()
    net.output(net.op("Relu", net.normal(3)))
    with pytest.raises(ModelError, match="expected a network with inputs, got none"):
        load_onnx(net.model())


def test_constant_output() -> None:
    net = Net()
    net.output(net.op("Relu", net.input("x", (1, 3))), net.op("Exp", net.normal(3), name="fixed"))
    with pytest.raises(ModelError, match="output 'fixed': expected it to depend on an input, got a constant"):
        load_onnx(net.model())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(bad: float) -> None:
    net = Net()
    weight = net.normal(8, 4, 3, 3)
    weight[2, 1, 0, 2] = bad
    name = net.constant(weight, "features.0.weight")
    net.output(net.op("Conv", net.input("x", (1, 4, 6, 6)), name))
    with pytest.raises(
        ModelError,
        match=r"constant 'features\.0\.weight' \(read by Conv\): expected finite numbers, got 1 of 288 NaN or "
        r"infinite, the first at \(2, 1, 0, 2\)",
    ):
        load_onnx(net.model())


def test_an_open_bound_may_be_infinite() -> None:
    net = Net()
    net.output(net.op("Clip", net.input("x", (1, 4)), f(0), f(np.inf)))
    assert [node.op_type for node in load_onnx(net.model()).nodes] == ["Clip"]


def test_float64_weights_beyond_float32_are_named() -> None:
    net = Net()
    x = net.input("x", (1, 2), onnx.TensorProto.DOUBLE)
    net.output(net.op("Mul", x, net.constant(np.array([1e300, 1.0]), "big")), dtype=onnx.TensorProto.DOUBLE)
    with pytest.raises(ModelError, match=r"constant 'big' \(read by Mul\): expected finite numbers, got 1 of 2"):
        load_onnx(net.model())


def control_flow() -> onnx.ModelProto:
    branch = [
        onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["x"], [f"y{i}"])],
            f"branch{i}",
            [],
            [onnx.helper.make_tensor_value_info(f"y{i}", 1, None)],
        )
        for i, op in enumerate(["Relu", "Exp"])
    ]
    net = Net()
    x = net.input("x", (1, 4))
    condition = net.op("Greater", net.op("ReduceMax", x, keepdims=0), f(0))
    net.nodes.append(
        onnx.helper.make_node("If", [condition], ["y"], name="choice", then_branch=branch[0], else_branch=branch[1])
    )
    return net.output("y").model()


def test_control_flow() -> None:
    with pytest.raises(
        ModelError,
        match=r"\[If 'choice'\] expected a network without control flow, got an If whose condition depends on data",
    ):
        load_onnx(control_flow())


def test_control_flow_that_folding_removes() -> None:
    model = control_flow()
    del model.graph.node[:2]
    model.graph.node[0].input[0] = "yes"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    assert [node.op_type for node in load_onnx(model).nodes] == ["Relu"]


def test_inputs_of_no_number() -> None:
    net = Net()
    words = net.input("words", (1, 7), onnx.TensorProto.STRING)
    net.output(net.op("StringNormalizer", words), dtype=onnx.TensorProto.STRING)
    with pytest.raises(ModelError, match="input 'words': expected float numbers, integers or booleans, got STRING"):
        load_onnx(net.model())


def test_unknown_domain() -> None:
    net = Net()
    net.output(net.op("FusedThing", net.input("x", (1, 4)), domain="com.example"))
    with pytest.raises(
        UnsupportedOperatorError,
        match=r"\[com\.example\.FusedThing 'node_fusedthing_1'\] expected an operator of ONNX, got one of the "
        r"domain 'com\.example'",
    ):
        load_onnx(net.model())


def test_unknown_operator() -> None:
    net = Net()
    net.output(net.op("Frobnicate", net.input("x", (1, 4))))
    with pytest.raises(
        UnsupportedOperatorError, match=r"\[Frobnicate 'node_frobnicate_1'\] expected an operator of ONNX opset 20"
    ):
        load_onnx(net.model())


def test_quantized_file_points_to_its_loader() -> None:
    net = Net()
    x = net.op("QuantizeLinear", net.input("x", (1, 4)), f(0.1), np.array(3, np.uint8))
    net.output(net.op("DequantizeLinear", x, f(0.1), np.array(3, np.uint8)))
    with pytest.raises(ModelError, match=r"QuantizeLinear .* expected a float network, .* intaglio\.load_quantized"):
        load_onnx(net.model())
    kept = load_onnx(net.model(), keep_quantized=True)
    assert [node.op_type for node in kept.nodes] == ["QuantizeLinear", "DequantizeLinear"]
    assert kept.batched


def test_shapes_that_do_not_fit_name_the_node() -> None:
    net = Net()
    net.output(net.op("MatMul", net.input("x", (1, 4)), net.normal(5, 3)))
    with pytest.raises(
        ModelError, match=r"\[MatMul 'node_matmul_1'\] expected inputs that fit the operator, got: .*dimension"
    ):
        load_onnx(net.model())


def test_shapes_that_depend_on_data() -> None:
    net = Net()
    x = net.input("x", (1, 4))
    y = net.op("Reshape", x, net.op("Cast", net.op("Squeeze", net.op("ReduceMax", x, keepdims=1), [0]), to=7))
    net.output(y)
    with pytest.raises(ModelError, match=r"\[Reshape 'node_reshape_4'\] expected a static shape of its output"):
        load_onnx(net.model())


def test_training_mode() -> None:
    net = Net()
    x = net.input("x", (1, 4, 3, 3))
    net.output(net.op("BatchNormalization", x, *(net.positive(4) for _ in range(4)), training_mode=1, outputs=3)[0])
    with pytest.raises(
        ModelError, match=r"\[BatchNormalization .* expected inference, got training_mode=1; .* module\.eval\(\)"
    ):
        load_onnx(net.model())
    net = Net()
    net.output(net.op("Dropout", net.input("x", (1, 4)), f(0.5), np.array(True)))
    with pytest.raises(ModelError, match=r"\[Dropout .* expected inference, got training mode"):
        load_onnx(net.model())


def external(tmp_path: Path, location: str) -> Path:
    model = small().model()
    path = tmp_path / "model" / "net.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = external(tmp_path, "net.data")
    graph = load_onnx(path)
    assert {value.const_value.nbytes for value in graph.initializers} == {8 * 4 * 9 * 4, 32}
    monkeypatch.chdir(path.parent)  # a bare file name: its directory is the current one
    assert len(load_onnx("net.onnx").initializers) == 2


def test_external_data_in_a_subfolder_is_copied_once(tmp_path: Path) -> None:
    net, size = Net(), 1000
    weight = net.normal(size, size)
    net.output(net.op("MatMul", net.input("x", (1, size)), weight))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.data").write_bytes(bytes(64) + weight.tobytes())
    model = net.model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "weights/net.data", "offset": 64, "length": weight.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    load_onnx(path)  # imports
    tracemalloc.start()
    try:
        graph = load_onnx(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(graph.initializers[0].const_value.numpy(), weight)
    assert peak < 1.5 * weight.nbytes


def test_external_data_outside_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(10_000))
    for location in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(
            ModelError, match="expected external data inside .* which lies outside; such a file is refused"
        ):
            load_onnx(external(tmp_path, location))
    path = external(tmp_path, "link")
    os.symlink(tmp_path / "secret", path.parent / "link")
    with pytest.raises(ModelError, match="which lies outside"):
        load_onnx(path)


def test_external_data_missing_or_cut_short(tmp_path: Path) -> None:
    path = external(tmp_path, "gone.data")
    with pytest.raises(ModelError, match=r"expected its external data 'gone\.data' beside it, got no such file"):
        load_onnx(path)
    path = external(tmp_path, "net.data")
    data = path.parent / "net.data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"expected \d+ bytes in 'net\.data', got 100; the file was cut short"):
        load_onnx(path)


def test_external_data_of_a_model_in_memory(tmp_path: Path) -> None:
    proto = onnx.load(external(tmp_path, "net.data"), load_external_data=False)
    with pytest.raises(ModelError, match=r"expected a model given by its path, got one in memory"):
        load_onnx(proto)


def test_a_constant_with_fewer_bytes_than_its_shape() -> None:
    model = small().model()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    with pytest.raises(ModelError, match=r"constant 'conv_1\.1': expected FLOAT \[8,4,3,3\], got: "):
        load_onnx(model)


def test_external_data_in_a_function_body_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(100))
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    nodes = [onnx.helper.make_node("Constant", [], ["w"]), onnx.helper.make_node("Add", ["a", "w"], ["b"])]
    nodes[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    net = Net()
    net.output(net.op("Shift", net.input("x", (1, 4)), domain="local"))
    model = net.model()
    imports = [onnx.helper.make_opsetid("", 20)]
    model.functions.append(onnx.helper.make_function("local", "Shift", ["a"], ["b"], nodes, imports))
    path = tmp_path / "inner" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="constant 'w': expected external data inside .* which lies outside"):
        load_onnx(path)


def test_a_name_that_nothing_computes() -> None:
    model = small().model()
    model.graph.node[0].input[0] = "y"
    with pytest.raises(
        ModelError, match=r"\[Conv 'node_conv_1'\] expected its input 'y' to be an input, a constant or"
    ):
        load_onnx(model)


def test_an_input_too_small_for_the_network() -> None:
    net = Net()
    y = net.conv(net.input("x", ("N", 4, "h", "w")), 4, 8, kernel=5)
    model = net.output(net.op("Slice", y, [0], [1], [2])).model()
    with pytest.raises(
        ModelError, match=r"\[Conv .*\] expected elements in 'conv_1', got the shape \(1, 8, -1, 4\); give"
    ):
        load_onnx(model, {"x": (None, 4, 3, 8)})


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_byte_is_an_error_or_another_model(seed: int, tmp_path: Path) -> None:
    net = Net()
    y = net.op("Relu", net.conv(net.input("x", ("N", 3, 8, 8)), 3, 4, strides=[2, 1]))
    y = net.op(
        "Slice", net.op("Resize", net.op("Pad", y, [0, 0, 0, 1] * 2), "", np.array([1, 1, 2, 2], f)), [0], [3], [2]
    )
    y = net.op("Flatten", net.op("GlobalAveragePool", net.op("Transpose", y, perm=[0, 1, 3, 2])))
    content = net.output(net.op("Softmax", net.op("Gemm", y, net.normal(4, 2)))).model().SerializeToString()
    rng, path = np.random.default_rng(seed), tmp_path / "changed.onnx"
    for _ in range(40):
        changed = bytearray(content)
        for position in rng.integers(len(content), size=rng.integers(1, 4)):
            changed[position] = rng.integers(256)
        path.write_bytes(changed)
        try:
            load(path).verify()
        except ModelError as error:
            assert "expected" in str(error)


@pytest.mark.parametrize("group", [32768, 3, 0, -1])
def test_groups_that_do_not_divide_the_channels(group: int) -> None:
    net = Net()
    y = net.op("Conv", net.input("x", ("N", 4, 6, 6)), net.normal(8, 1, 3, 3), group=group)
    with pytest.raises(ModelError, match=r"\[Conv .*\] expected groups that divide the channels .*, got"):
        load_onnx(net.output(y).model())


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"kernel_shape": [2**40, 1], "pads": [0, 0, 2**40 - 6, 0]}, "kernel_shape of 2 numbers from 1 on"),
        ({"kernel_shape": [2, 2], "pads": [0, 0, 2, 0]}, r"pads smaller than the window \[2, 2\], got \[0, 0, 2, 0\]"),
    ],
)
def test_windows_beyond_sense(attributes: dict[str, list[int]], what: str) -> None:
    net = Net()
    y = net.op("MaxPool", net.input("x", ("N", 4, 6, 6)), **attributes)
    with pytest.raises(ModelError, match=rf"\[MaxPool .*\] expected {what}"):
        load_onnx(net.output(y).model())


def test_operands_of_shapes_that_do_not_fit() -> None:
    net = Net()
    x = net.op("LayerNormalization", net.input("x", ("N", 4, 6)), net.constant(net.normal(5, 2), "gain"))
    with pytest.raises(ModelError, match=r"expected 'gain' to be of a shape that broadcasts to \(1, 4, 6\), got"):
        load_onnx(net.output(x).model())


def test_a_constant_of_no_type() -> None:
    net = Net()
    y = net.op("Add", net.input("x", (1, 4)), net.op("Constant", value=onnx.numpy_helper.from_array(net.normal(4))))
    model = net.output(y).model()
    model.graph.node[0].attribute[0].t.data_type = 0
    # onnx_ir reads such a tensor on Python 3.12 and newer only.
    told = "one that cannot be followed: TypeError|attribute value: expected UNDEFINED .* got: ValueError"
    with pytest.raises(ModelError, match=told):
        load_onnx(model)


WHOLE, BOTH = r"\[Resize .*\] expected scales that give axis 2 a whole length", np.array([1, 1, 0.6, 0.6], f)


@pytest.mark.parametrize(
    ("mode", "coordinates", "more", "text"),
    [
        ("linear", "align_corners", {}, WHOLE),
        ("cubic", "align_corners", {}, WHOLE),
        ("cubic", "half_pixel", {"antialias": 1}, r"\[Resize .*antialias"),
        ("cubic", "tf_crop_and_resize", {}, r"\[Resize .*expected a roi with nearest or linear interpolation"),
    ],
)
def test_a_resize_on_which_runtimes_differ_or_without_a_form(
    mode: str, coordinates: str, more: dict[str, int], text: str
) -> None:
    """The reason is named, and not a mode that is supported otherwise."""
    net = Net()
    crop = coordinates == "tf_crop_and_resize"
    roi, scales = (np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], f), np.array([1, 1, 2, 2], f)) if crop else ("", BOTH)
    x = net.input("x", (1, 1, 2, 4))
    y = net.op("Resize", x, roi, scales, mode=mode, coordinate_transformation_mode=coordinates, **more)
    with pytest.raises(UnsupportedOperatorError, match=text):
        Simulator(load_onnx(net.output(y).model()))
