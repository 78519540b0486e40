from __future__ import annotations

import pytest

from intaglio.errors import TargetError
from intaglio.number import UINT8, IntType, PerChannel, PerGroup, PerTensor, Rule, Scheme
from intaglio.targets import BUILTIN, load_target
from intaglio.targets.target import TensorFormat

EXPECTED = {
    "cpu-int8": ("uint8", Scheme.ASYMMETRIC, "int8n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "int8-symmetric": ("int8", Scheme.SYMMETRIC, "int8n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "int8-per-tensor": ("int8", Scheme.SYMMETRIC, "int8n", Scheme.SYMMETRIC, "tensor", Rule.HALF_UP),
    "uint8-asymmetric": ("uint8", Scheme.ASYMMETRIC, "uint8", Scheme.ASYMMETRIC, "tensor", Rule.HALF_UP),
    "power2-int8": ("int8", Scheme.POWER_OF_TWO, "int8n", Scheme.POWER_OF_TWO, "tensor", Rule.SHIFT),
    "mcu-int8": ("int8", Scheme.ASYMMETRIC, "int8n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "int16x8": ("int16", Scheme.SYMMETRIC, "int8n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "w4a8": ("uint8", Scheme.ASYMMETRIC, "int4n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "w2a8": ("uint8", Scheme.ASYMMETRIC, "int2", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "ternary": ("uint8", Scheme.ASYMMETRIC, "int2n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "binary": ("uint8", Scheme.ASYMMETRIC, "bipolar", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "w4a4": ("uint8", Scheme.ASYMMETRIC, "int4n", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "w2a2": ("uint8", Scheme.ASYMMETRIC, "int2", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "xnor": ("uint8", Scheme.ASYMMETRIC, "bipolar", Scheme.SYMMETRIC, "channel", Rule.HALF_UP),
    "tflite-int8": ("int8", Scheme.ASYMMETRIC, "int8n", Scheme.SYMMETRIC, "channel", Rule.TFLITE),
}


def test_every_builtin_target_is_known_here():
    assert set(BUILTIN) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_builtin_target_matches_its_name(name):
    activation, scheme, weight, weight_scheme, per, rule = EXPECTED[name]
    target = load_target(name)
    assert target.name == name
    assert target.description
    assert (target.activations[0].type, target.activations[0].scheme) == (IntType.parse(activation), scheme)
    assert (target.weights[0].type, target.weights[0].scheme) == (IntType.parse(weight), weight_scheme)
    assert target.weights[0].per == per
    assert target.rule is rule


VALID = """
version = 1
name = "mine"
rule = "half_up"
[[activations]]
type = "uint8"
scheme = "asymmetric"
[[weights]]
type = "int4n"
scheme = "symmetric"
per = "group"
group = 32
[operators.Softmax]
scale = 0.00390625
zero_point = 0
"""


def test_a_user_writes_one_more(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(VALID)
    target = load_target(path)
    assert target.activations[0].type == UINT8
    assert target.weights[0].granularity(0) == PerGroup(1, 32)
    assert target.row("Softmax").zero_point == 0
    assert target.row("Conv").supported


def test_granularity_follows_the_channel_axis():
    fmt = TensorFormat(type="int8n", scheme="symmetric", per="channel")
    assert fmt.granularity(1) == PerChannel(1)
    assert fmt.granularity(None) == PerTensor()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"uint8"', '"uint99"', "activations.0.type"),
        ('"asymmetric"', '"lopsided"', "activations.0.scheme"),
        ("version = 1", "version = 2", "version"),
        ('rule = "half_up"', 'rule = "shift"', "power_of_two"),
        ("group = 32\n", "", "group"),
        ("zero_point = 0", "", "both scale and zero_point"),
        ('name = "mine"', 'name = "mine"\ncolour = "red"', "colour"),
        ("version = 1", "version = ", "not valid TOML"),
        ('"asymmetric"', '"asymmetric"\nper = "channel"', 'activations: expected per = "tensor", got "channel"'),
        (
            "[operators",
            '[final]\ntype = "int16"\nscheme = "symmetric"\nper = "channel"\n[operators',
            "final: expected per",
        ),
        (
            "[operators",
            '[products]\ntype = "uint4"\nscheme = "asymmetric"\nper = "channel"\n[operators',
            "products: exp",
        ),
        (
            "zero_point = 0",
            "zero_point = 256",
            "operators.Softmax.zero_point: expected a code of uint8, 0 to 255, got 256",
        ),
        ("zero_point = 0", "zero_point = 0\nsupported = false", "supported = false: expected no other key beside it"),
        (
            "zero_point = 0",
            'zero_point = 0\noutput = "same"',
            'output = "same" takes the input\'s parameters: expected no scale',
        ),
    ],
)
def test_a_wrong_description_is_named(tmp_path, old, new, text):
    path = tmp_path / "mine.toml"
    path.write_text(VALID.replace(old, new, 1))
    with pytest.raises(TargetError, match=text):
        load_target(path)


def test_an_activation_format_of_one_operator_has_one_scale(tmp_path):
    path = tmp_path / "mine.toml"
    row = '[operators.Gelu]\nactivations = [{ type = "int8", scheme = "symmetric", per = "group", group = 8 }]\n'
    path.write_text(VALID + row)
    with pytest.raises(TargetError, match=r'operators.Gelu.activations: expected per = "tensor", got "group"'):
        load_target(path)


def test_an_unknown_target_lists_the_known_ones():
    with pytest.raises(TargetError, match="cpu-int8, int16x8"):
        load_target("cpu-int9")
