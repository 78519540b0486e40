"""From quantization parameters to integers: what factories choose, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intaglio.errors import LoweringError
from intaglio.number import BIPOLAR, INT8, INT16, UINT8, IntType, PerGroup, QuantParams, Rule
from intaglio.program import Operator
from intaglio.program.factors import clamp_of, counted, needs_wide, same_params, scale_of, zero_point_of
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.layer_norm import LayerNorm
from intaglio.program.operators.log_softmax import LogSoftmax
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.matmul import MatMul
from intaglio.program.operators.mul import Mul
from intaglio.program.operators.prelu import PRelu
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.operators.requantize import Requantize as IntegerRequantize
from intaglio.program.operators.resize_bilinear import ResizeBilinear
from intaglio.program.operators.softmax import Softmax
from intaglio.program.operators.softmax_tflite import SoftmaxTflite
from intaglio.program.sampling import UINT16, grid

X, Y, W = grid(UINT8, 0.1, 7), grid(INT8, 0.5, -3), grid(IntType(8, narrow=True), 0.02)
WEIGHT = np.full((3, 4), 100, np.int8)


def test_one_scale_is_asked_of_activations() -> None:
    several = grid(INT8, [0.1, 0.2])
    with pytest.raises(LoweringError, match=r"expected one scale for the whole tensor, got 2 \(PerChannel\(axis=0\)\)"):
        scale_of(several)
    assert (scale_of(X), zero_point_of(X)) == (float(np.float32(0.1)), 7)


def test_clamps_are_cut_to_the_type() -> None:
    assert clamp_of(Y, None, None) == (-128, 127)
    assert clamp_of(Y, -3, 1000) == (-3, 127)
    assert clamp_of(Y, -1000, -500) == (-128, -128)
    with pytest.raises(LoweringError, match=r"clamp: expected low <= high, got \[5, 4\]"):
        clamp_of(Y, 5, 4)


def test_same_params_looks_past_narrow_ranges() -> None:
    assert same_params(X, grid(UINT8, 0.1, 7))
    assert same_params(grid(INT8, 0.1), grid(IntType(8, narrow=True), 0.1))
    assert not same_params(X, grid(UINT8, 0.1, 8))
    assert not same_params(X, grid(INT8, 0.1, 7))


def test_counts_round_half_up_where_they_are_no_power_of_two() -> None:
    assert counted(1 / 64, Rule.SHIFT).rule is Rule.SHIFT
    assert counted(1 / 49, Rule.SHIFT).rule is Rule.HALF_UP
    assert counted([0.5, 0.3], Rule.SHIFT).rule is Rule.HALF_UP
    assert counted(1 / 49, Rule.TFLITE).rule is Rule.TFLITE


@pytest.mark.parametrize(
    ("bound", "accumulator", "wide"),
    [(2**31 - 1, 32, False), (2**31 - 1, 64, False), (2**31, 64, True), (2**47 - 1, 64, True)],
)
def test_the_width_of_an_accumulator_is_decided_exactly(bound: int, accumulator: int, wide: bool) -> None:
    assert needs_wide(bound, accumulator) is wide


@pytest.mark.parametrize(("bound", "accumulator", "bits"), [(2**31, 32, 32), (2**47, 64, 48)])
def test_sums_that_do_not_fit_are_refused_with_the_bits_they_need(bound: int, accumulator: int, bits: int) -> None:
    text = f"accumulator: expected sums of at most {bits} bits, got up to {bound}, which needs {bits + 1}; use fewer"
    with pytest.raises(LoweringError, match=text):
        needs_wide(bound, accumulator)


def test_a_bipolar_result_is_the_sign_of_the_accumulator_whatever_the_scales() -> None:
    for rule in (Rule.HALF_UP, Rule.TFLITE, Rule.SHIFT):
        y, signs, x = grid(BIPOLAR, 0.7), grid(BIPOLAR, 1.0), np.array([[-1, 1], [1, 1], [-1, -1]], np.int8)
        made: list[Operator] = [
            Dense.from_real(signs, signs, y, np.array([[1, 1]], np.int8), None, rule),
            MatMul.from_real(signs, signs, y, depth=2, rule=rule),
        ]
        want = [[1], [1], [-1]]  # sums of 0, 2 and -2
        assert made[0].integer(x).tolist() == made[1].integer(x, np.ones((2, 1), np.int8)).tolist() == want
        sign = IntegerRequantize.from_real(X, y, rule=rule)
        assert sign.integer(np.array([6, 7, 8], np.uint8)).tolist() == [-1, 1, 1]


def test_a_gain_goes_into_the_multiplier_and_the_grid_of_the_bias() -> None:
    for rule in (Rule.HALF_UP, Rule.TFLITE):
        operator = Dense.from_real(X, W, Y, WEIGHT, np.array([1.0, -2.0, 0.0]), rule, gain=4.0)
        assert operator.bias.tolist() == [125, -250, 0]  # steps of 4 * 0.1 * 0.02
        assert float(operator.requantize.real) == pytest.approx(4 * 0.1 * 0.02 / 0.5)


def test_a_real_bias_is_rounded_half_to_even_onto_its_grid() -> None:
    step = scale_of(X) * scale_of(W)
    operator = Dense.from_real(X, W, Y, WEIGHT, np.array([2.5, -3.5, 0.4]) * step, Rule.HALF_UP)
    assert operator.bias.tolist() == [2, -4, 0]
    assert operator.bias.dtype == np.int32
    assert Dense.from_real(X, W, Y, WEIGHT, np.array([5, -6, 7]), Rule.HALF_UP).bias.tolist() == [5, -6, 7]
    assert Dense.from_real(X, W, Y, WEIGHT, None, Rule.HALF_UP).bias.tolist() == [0, 0, 0]
    assert float(operator.requantize.real) == pytest.approx(step / 0.5)


def test_scales_per_output_channel() -> None:
    w = grid(INT8, [0.01, 0.02, 0.04], 5)
    operator = Dense.from_real(X, w, Y, WEIGHT, None, Rule.HALF_UP)
    assert operator.requantize.real == pytest.approx([0.002, 0.004, 0.008], rel=1e-6)
    assert operator.weight_zero_point.tolist() == [5, 5, 5]
    with pytest.raises(LoweringError, match=r"weight: expected 1 or 3 scales \(one per output channel\), got 2"):
        Dense.from_real(X, grid(INT8, [0.01, 0.02]), Y, WEIGHT, None, Rule.HALF_UP)
    groups = QuantParams(INT8, np.ones((3, 2)), np.zeros((3, 2), int), PerGroup(1, 2))
    with pytest.raises(LoweringError, match="expected 1 or 3 scales .* got 6"):
        Dense.from_real(X, groups, Y, WEIGHT, None, Rule.HALF_UP)


def test_biases_that_do_not_fit_are_named_by_channel() -> None:
    with pytest.raises(
        LoweringError, match=r"bias of channel 1: 1e\+20 needs 5e\+22 steps of 0.002, which no accumulator holds"
    ):
        Dense.from_real(X, W, Y, WEIGHT, np.array([0, 1e20, 0]), Rule.HALF_UP)
    with pytest.raises(LoweringError, match="bias of channel 0: nan needs nan steps"):
        Dense.from_real(X, W, Y, WEIGHT, np.array([np.nan, 0, 0]), Rule.HALF_UP)
    with pytest.raises(LoweringError, match=r"expected sums of at most 32 bits, got up to \d+"):
        Dense.from_real(X, W, Y, WEIGHT, np.array([0, 1 << 31, 0]), Rule.HALF_UP)
    with pytest.raises(LoweringError, match=r"bias: expected 3 values, got shape \(2,\)"):
        Dense.from_real(X, W, Y, WEIGHT, np.zeros(2), Rule.HALF_UP)


def test_weights_have_to_be_codes() -> None:
    with pytest.raises(LoweringError, match="weight: expected codes of int8n, got int8 -128 to 100"):
        Dense.from_real(X, W, Y, np.array([[-128, 100]], np.int8), None, Rule.HALF_UP)
    with pytest.raises(LoweringError, match="weight: expected codes of int8n, got float64"):
        Dense.from_real(X, W, Y, WEIGHT * 0.5, None, Rule.HALF_UP)


def test_sixteen_bit_inputs_get_wide_sums_where_they_need_them() -> None:
    x = grid(INT16, 0.001)
    few, many = np.full((1, 500), 127, np.int8), np.full((1, 600), 127, np.int8)
    assert not Dense.from_real(x, W, Y, few, None, Rule.HALF_UP).requantize.wide
    wide = Dense.from_real(x, W, Y, many, None, Rule.HALF_UP)
    assert wide.requantize.wide and wide.bias.dtype == np.int64
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        Dense.from_real(x, W, Y, many, None, Rule.TFLITE)
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        Dense.from_real(x, W, Y, many, None, Rule.HALF_UP, accumulator=32)


def test_eight_bit_inputs_never_do_unasked() -> None:
    many = np.full((1, 70_000), 127, np.int8)
    with pytest.raises(LoweringError, match=r"expected sums of at most 32 bits, got up to \d+"):
        Dense.from_real(X, W, Y, many, None, Rule.HALF_UP)
    assert Dense.from_real(X, W, Y, many, None, Rule.HALF_UP, accumulator=64).requantize.wide
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        MatMul.from_real(X, grid(UINT8, 0.1), Y, depth=1 << 16, rule=Rule.HALF_UP)
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        ReduceSum.from_real(X, Y, axes=(1,), keepdims=True, count=1 << 24, rule=Rule.HALF_UP)
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        AveragePool2d.from_real(X, Y, input_shape=(4096, 4096), kernel=(4096, 4096), rule=Rule.HALF_UP)


def test_wide_sums_of_sixteen_bits() -> None:
    x = grid(UINT16, 0.001, 9)
    assert ReduceSum.from_real(x, x, axes=(1,), keepdims=True, count=1 << 16, rule=Rule.HALF_UP).requantize.wide
    assert Mul.from_real(x, x, x, rule=Rule.HALF_UP).requantize.wide
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        Mul.from_real(x, x, x, rule=Rule.TFLITE)


def test_factors_out_of_range() -> None:
    with pytest.raises(LoweringError, match=r"multiplier: expected factors in \(0, 2\*\*30\)"):
        Conv2d.from_real(grid(UINT8, 1e12), W, Y, np.zeros((1, 1, 1, 1), np.int8), None, Rule.HALF_UP)
    with pytest.raises(LoweringError, match="rule shift: expected power-of-two factors"):
        Mul.from_real(X, X, X, rule=Rule.SHIFT)


def test_pool_counts() -> None:
    def counts(**fields: object) -> list[list[int]] | int:
        return AveragePool2d.from_real(X, Y, input_shape=(4, 4), rule=Rule.HALF_UP, **fields).counts.squeeze().tolist()  # type: ignore[arg-type]

    assert counts(kernel=(2, 2), strides=(2, 2)) == 4
    assert counts(kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)) == [[4, 6], [6, 9]]
    assert counts(kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), count_include_pad=True) == 9
    # ceil_mode: a window that hangs over the end by `extra`, which counts in neither case
    over = {"kernel": (3, 3), "strides": (2, 2), "pads": (0, 0, 0, 0), "extra": (1, 1)}
    assert counts(**over) == counts(**over, count_include_pad=True) == [[9, 6], [6, 4]]
    assert counts(kernel=(2, 2), dilations=(2, 2), strides=(2, 2), pads=(1, 1, 1, 1)) == [[1, 2], [2, 4]]


def test_functions_of_tables() -> None:
    with pytest.raises(
        LoweringError, match="table: the function of -0.7 is not a number; keep its input away from there"
    ):
        Lut.from_real(X, Y, np.sqrt)
    infinite = Lut.from_real(grid(UINT8, 0.1), Y, lambda v: 1 / v)
    assert (infinite.table[0], infinite.table.dtype) == (127, np.int8)
    assert Lut.from_real(X, Y, np.negative, low=-10, high=-3).table.min() == -10


def test_slopes_of_both_signs() -> None:
    operator = PRelu.from_real(X, Y, np.array([0.5, 0.0, -2.0]), rule=Rule.HALF_UP)
    assert operator.sign.tolist() == [1, 0, -1]
    assert operator.negative.real[[0, 2]] == pytest.approx([0.1, 0.4])


def test_scales_of_softmax() -> None:
    assert Softmax.from_real(X, grid(UINT8, 1 / 256)).reciprocal_scale == 256
    assert Softmax.from_real(X, grid(INT8, 1 / 127)).reciprocal_scale == 127
    with pytest.raises(
        LoweringError, match=r"softmax: expected an output scale of 1/256, 1/32768 or another 1/N, got 0.03"
    ):
        Softmax.from_real(X, grid(UINT8, 0.03))
    for x, y in ((X, grid(UINT8, 1 / 128)), (X, grid(INT8, 1 / 256)), (grid(INT16, 1.0), grid(INT8, 1 / 256, -128))):
        with pytest.raises(LoweringError, match="expected 8 bits, an output scale of 1/256 and zero point qmin"):
            SoftmaxTflite.from_real(x, y)
    with pytest.raises(LoweringError, match=r"expected an input scale above 2\*\*-26"):
        SoftmaxTflite.from_real(grid(INT8, 1e-9), grid(INT8, 1 / 256, -128))
    with pytest.raises(LoweringError, match=r"log_softmax: expected inputs within 2\*\*27 of each other"):
        LogSoftmax.from_real(grid(INT8, 1e7), Y, rule=Rule.HALF_UP)


def test_tflite_softmax_constants() -> None:
    """For scale 0.1 and beta 1 as TFLite's PreprocessSoftmaxScaling gives them: 0.1 * 2**26 = 0.8 * 2**23."""
    operator = SoftmaxTflite.from_real(grid(INT8, 0.1), grid(INT8, 1 / 256, -128))
    assert operator.left_shift == 23
    assert operator.multiplier == math.floor(float(np.float32(0.1)) * 8 * 2**31 + 0.5)
    assert operator.diff_min == -248


def test_layer_norm_chooses_precision_and_width() -> None:
    gain = np.linspace(-1, 2, 64)
    eight = LayerNorm.from_real(X, grid(INT8, 0.05), gain, None, epsilon=1e-5, rule=Rule.HALF_UP)
    assert not eight.requantize.wide and eight.precision >= 10
    sixteen = LayerNorm.from_real(grid(INT16, 0.001), grid(INT16, 2e-4), gain, gain, epsilon=1e-5, rule=Rule.HALF_UP)
    assert sixteen.requantize.wide and sixteen.precision == 16
    assert not LayerNorm.from_real(
        grid(INT16, 0.001), grid(INT16, 2e-4), gain, gain, epsilon=1e-5, rule=Rule.HALF_UP, wide=False
    ).requantize.wide
    zero = LayerNorm.from_real(X, Y, np.zeros(4), None, epsilon=1e-5, rule=Rule.HALF_UP)
    assert (zero.integer(np.arange(4, dtype=np.uint8)[None]) == -3).all()
    options = {"epsilon": 1e-5, "rule": Rule.HALF_UP}
    assert LayerNorm.from_real(grid(INT16, 0.001), Y, np.ones(100_000), None, **options).spread == -2
    with pytest.raises(LoweringError, match="layer_norm: 2147483648 elements of int16 with epsilon 1e-05 exceed 62"):
        LayerNorm.from_real(grid(INT16, 0.001), Y, np.ones(1), None, inner=(1 << 16, 1 << 15), **options)
    with pytest.raises(LoweringError, match="exceed 62 bits"):
        LayerNorm.from_real(grid(INT8, 1e-12), Y, np.ones(8), None, epsilon=1e20, rule=Rule.HALF_UP)


def test_layer_norm_of_many_16_bit_numbers_is_right_within_a_step(rng: np.random.Generator) -> None:
    """V loses bits there: as many as leave the mean and the deviation right to far below a step."""
    x, y = grid(INT16, 2e-4), grid(INT16, 3e-4)
    options = {"epsilon": 1e-5, "rule": Rule.HALF_UP, "inner": (512, 512)}
    operator = LayerNorm.from_real(x, y, np.ones(2), np.zeros(2), groups=2, **options)
    codes = (
        np.rint(rng.normal([3000.0, -9000.0], [7000.0, 50.0], (1, 512, 512, 2))).clip(-32768, 32767).astype(np.int16)
    )
    real = codes * 2e-4
    normal = (real - real.mean((1, 2))) / np.sqrt(real.var((1, 2)) + 1e-5)
    assert operator.spread < 0
    assert np.abs(operator.integer(codes) - np.clip(normal / 3e-4, -32768, 32767)).max() <= 1.0


def test_layer_norm_of_equal_numbers_is_the_bias() -> None:
    for centred in (True, False):
        operator = LayerNorm.from_real(
            X, Y, np.ones(2), None, epsilon=0.0, rule=Rule.HALF_UP, centred=centred, inner=(3,), groups=2
        )
        codes = np.full((1, 3, 2), int(X.zero_point), np.uint8)
        assert (operator.integer(codes) == int(Y.zero_point)).all()


def test_resize_weights_sum_to_one() -> None:
    operator = ResizeBilinear.from_positions([-3.0, 0.25, 9.0], [0.5], height=3, width=2, bits=8)
    assert operator.rows.tolist() == [[0, 1], [0, 1], [2, 2]]
    assert operator.row_weights.tolist() == [[256, 0], [192, 64], [256, 0]]
    assert operator.column_weights.tolist() == [[128, 128]]
    filled = ResizeBilinear.from_positions([-3.0, 0.0], [0.0], height=3, width=2, rows_outside=[True, False], fill=5)
    assert filled.rows.tolist() == [[-1, -1], [0, 1]]
    assert filled.integer(np.ones((1, 3, 2, 1), np.int8)).ravel().tolist() == [5, 1]


def test_products_and_sums_keep_to_the_accumulator_of_the_target() -> None:
    wide, y = QuantParams(IntType(16, signed=False), np.float32(1e-4), 1000), QuantParams(INT16, np.float32(1e-3))
    assert Mul.from_real(wide, wide, y, rule=Rule.HALF_UP).requantize.wide
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        Mul.from_real(wide, wide, y, rule=Rule.HALF_UP, accumulator=32)
    mean = {"axes": (1,), "keepdims": False, "factor": 2.0**-16, "count": 1 << 16, "rule": Rule.HALF_UP}
    assert ReduceSum.from_real(wide, y, **mean).requantize.wide
    with pytest.raises(LoweringError, match="expected sums of at most 32 bits"):
        ReduceSum.from_real(wide, y, **mean, accumulator=32)
