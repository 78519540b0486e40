"""The macros of `model.h` say of each input and output what the Program says, bit for bit."""

from __future__ import annotations

import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.nets import separable_network
from intaglio_tests.programs import make_small_program

from intaglio.codegen.build import generate
from intaglio.codegen.machine import MACHINES
from intaglio.codegen.tensor_macros import exact_factor, scale_text, tensor_macros
from intaglio.number import BIPOLAR, INT8, UINT8, PerChannel, QuantParams
from intaglio.program import Program, TensorInfo
from intaglio.program.sampling import grid

SCALES = (0.1, 1 / 3, 0.0078125, 1.0, 2.0**20, 1e-30, 3.1415927, 255.0, float(np.finfo(np.float32).tiny))


def read_macros(header: str) -> dict[str, str]:
    return dict(re.findall(r"^#define (\w+) (.+)$", header, re.MULTILINE))


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_is_written_exactly_as_a_literal_and_as_a_factor(scale: float) -> None:
    value = np.float32(scale)
    assert np.float32(scale_text(value).removesuffix("f")) == value
    multiplier, shift = exact_factor(value)
    assert Fraction(multiplier) / Fraction(2) ** shift == Fraction(float(value))
    assert multiplier % 2 == 1
    assert multiplier < 1 << 24


@pytest.mark.parametrize("program", [separable_network(), make_small_program()], ids=["one input", "two inputs"])
def test_macros_are_the_numbers_of_the_program(program: Program) -> None:
    macros = read_macros(generate(program, MACHINES["portable"])["model.h"])
    for kind, names in (("INPUT", program.inputs), ("OUTPUT", program.outputs)):
        for i, name in enumerate(names):
            info = program.tensors[name]
            prefix = f"MODEL_{kind}{'' if len(names) == 1 else i}"
            assert macros[f"{prefix}_TYPE"] == f"{info.type.dtype.name}_t"
            assert macros[f"{prefix}_SHAPE"] == "{" + ", ".join(map(str, info.shape)) + "}"
            assert int(macros[f"{prefix}_RANK"]) == len(info.shape)
            assert int(macros[f"{prefix}_ELEMENTS"]) == np.prod(info.shape)
            if info.params is None:
                assert f"{prefix}_SCALE" not in macros
                continue
            assert np.float32(macros[f"{prefix}_SCALE"].removesuffix("f")) == info.params.scale
            factor = Fraction(int(macros[f"{prefix}_SCALE_MULTIPLIER"])) / 2 ** int(macros[f"{prefix}_SCALE_SHIFT"])
            assert factor == Fraction(float(info.params.scale))
            assert int(macros[f"{prefix}_ZERO_POINT"]) == info.params.zero_point
            assert (int(macros[f"{prefix}_MIN"]), int(macros[f"{prefix}_MAX"])) == (info.type.qmin, info.type.qmax)


def test_channels_with_scales_of_their_own_are_lists() -> None:
    params = QuantParams(INT8, np.array([0.5, 0.25], np.float32), np.array([3, -4]), PerChannel(1))
    text = tensor_macros(TensorInfo("y", (1, 2), INT8, params), "NET_OUTPUT")
    assert "#define NET_OUTPUT_SCALES {0.5f, 0.25f}\n#define NET_OUTPUT_ZERO_POINTS {3, -4}\n" in text
    assert "OUTPUT_SCALE " not in text


def test_macros_say_how_to_quantize_to_bipolar() -> None:
    text = tensor_macros(TensorInfo("y", (1, 2), BIPOLAR, grid(BIPOLAR, 0.5)), "M_INPUT")
    assert "-1 for x < 0, otherwise 1" in text


def test_c_quantizes_with_the_macros_as_python_does(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    program = separable_network()
    info = program.tensors[program.inputs[0]]
    assert info.params is not None
    assert info.type == UINT8
    (tmp_path / "model.h").write_text(generate(program, MACHINES["portable"])["model.h"])
    (tmp_path / "main.c").write_text(
        '#include "model.h"\n#include <math.h>\n#include <stdio.h>\n'
        'int main(void)\n{\n    float x;\n    while (scanf("%f", &x) == 1) {\n'
        "        float q = rintf(x / MODEL_INPUT_SCALE) + MODEL_INPUT_ZERO_POINT;\n"
        "        q = q < MODEL_INPUT_MIN ? MODEL_INPUT_MIN : q > MODEL_INPUT_MAX ? MODEL_INPUT_MAX : q;\n"
        '        printf("%d\\n", (int)(MODEL_INPUT_TYPE)q);\n    }\n    return 0;\n}\n'
    )
    subprocess.run(["gcc", "-std=c11", "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    low, high = (float(end) for end in info.params.range)
    x = np.linspace(low - 1, high + 1, 4001, dtype=np.float32)
    out = subprocess.run([tmp_path / "main"], input="\n".join(map(repr, map(float, x))), text=True, capture_output=True)
    np.testing.assert_array_equal([int(line) for line in out.stdout.split()], info.params.quantize(x))
