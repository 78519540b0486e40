"""Generate `<prefix>_run_float` or `<prefix>_step_float`: ends of the type float32, quantized and dequantized in C.

The codes of these ends lie behind the arena of the model, whose own functions stay integers only.
"""

from __future__ import annotations

import math

import numpy as np

from intaglio.codegen.model import Model
from intaglio.codegen.stream_functions import named_tensors, own_tensors
from intaglio.codegen.tensor_macros import scale_text
from intaglio.kernels.kernel import C_TYPES
from intaglio.program import TensorInfo


def float_name(model: Model) -> str:
    """Return the function's name: it is a step of a stream where the Program has states."""
    return f"{model.prefix}_{'step' if model.program.states else 'run'}_float"


def _floats(model: Model, kind: str) -> list[tuple[TensorInfo, str]]:
    """Pair those inputs or outputs with their parameter names."""
    return [(info, name) for info, name in named_tensors(model, kind) if info.name in model.program.float_ends]


def _parameters(model: Model) -> str:
    state = [f"struct {model.prefix}_state *state"] if model.program.states else []
    typed = [
        f"{const}{'float' if info.name in model.program.float_ends else C_TYPES[info.type.dtype.str[1:]]} *{argument}"
        for const, kind in (("const ", "input"), ("", "output"))
        for info, argument in own_tensors(model, kind)
    ]
    return ", ".join([*state, *typed, "void *arena", "size_t arena_bytes"])


def _offsets(model: Model) -> tuple[dict[str, int], int]:
    """The place of each end's codes behind the arena, and the bytes that they take there."""
    offsets, end, step = {}, 0, model.machine.alignment
    for kind in ("input", "output"):
        for info, argument in _floats(model, kind):
            offsets[argument] = end
            end += -(-math.prod(info.shape) * info.type.dtype.itemsize // step) * step
    return offsets, end


def float_declaration(model: Model) -> str:
    """Generate the declaration in `<prefix>.h`; nothing without ends of float32."""
    if not model.program.float_ends:
        return ""
    m, name = model.macro, float_name(model)
    which = ", ".join(argument for kind in ("input", "output") for _, argument in _floats(model, kind))
    like = f"{model.prefix}_step" if model.program.states else f"{model.prefix}_run"
    step = model.machine.alignment
    return f"""
/* As {like}, with numbers of 32 bits, IEEE 754, in {which}, whose codes need room behind the arena.
 * Returns {m}_NOT_FINITE for an input that is infinite or not a number. Not to be compiled with -ffast-math. */
#define {m}_FLOAT_ARENA_BYTES (({m}_ARENA_BYTES + {step - 1}) / {step} * {step} + {_offsets(model)[1]})
int {name}({_parameters(model)});
"""


def float_function(model: Model) -> str:
    """Generate the definition in `<prefix>.c`; nothing without ends of float32."""
    if not model.program.float_ends:
        return ""
    m = model.macro
    offsets, total = _offsets(model)
    inputs, outputs = _floats(model, "input"), _floats(model, "output")
    checks = " || ".join(f"!{argument}" for _, argument in (*inputs, *outputs))
    codes = "".join(
        f"    {_c_type(info)} *const {argument}_codes = ({_c_type(info)} *)(void *)(behind + {offsets[argument]});\n"
        for info, argument in (*inputs, *outputs)
    )
    called = [
        f"{argument}_codes" if info.name in model.program.float_ends else argument
        for kind in ("input", "output")
        for info, argument in own_tensors(model, kind)
    ]
    call = f"{model.prefix}_{'step' if model.program.states else 'run'}"
    arguments = ", ".join([*(["state"] if model.program.states else []), *called, "arena", f"{m}_ARENA_BYTES"])
    return f"""
#ifdef __FAST_MATH__
#error "{float_name(model)}: expected IEEE 754 arithmetic, got -ffast-math or -Ofast; leave it out for this file"
#endif
{_TO_CODE if inputs else ""}
int {float_name(model)}({_parameters(model)})
{{
    if (!arena || {checks})
        return {m}_NULL_POINTER;
    if ((uintptr_t)arena % {m}_ALIGNMENT)
        return {m}_MISALIGNED_ARENA;
    if (arena_bytes < {m}_FLOAT_ARENA_BYTES)
        return {m}_SMALL_ARENA;
    unsigned char *const behind = (unsigned char *)arena + ({m}_FLOAT_ARENA_BYTES - {total});
{codes}{"".join(_quantize(model, info, argument) for info, argument in inputs)}\
    const int status = {call}({arguments});
    if (status != {m}_OK)
        return status;
{"".join(_dequantize(info, argument) for info, argument in outputs)}\
    return {m}_OK;
}}
"""


def _c_type(info: TensorInfo) -> str:
    return C_TYPES[info.type.dtype.str[1:]]


def _quantize(model: Model, info: TensorInfo, argument: str) -> str:
    assert info.params is not None
    value = (
        f"{argument}[i] < 0.0f ? -1 : 1"
        if info.type.bipolar
        else f"to_code({argument}[i], {scale_text(np.float32(info.params.scale))}, {int(info.params.zero_point)}, "
        f"{info.type.qmin}, {info.type.qmax})"
    )
    return f"""    for (int32_t i = 0; i < {math.prod(info.shape)}; i++) {{
        if (!({argument}[i] >= -FLT_MAX && {argument}[i] <= FLT_MAX))
            return {model.macro}_NOT_FINITE;
        {argument}_codes[i] = ({_c_type(info)})({value});
    }}
"""


def _dequantize(info: TensorInfo, argument: str) -> str:
    assert info.params is not None
    return f"""    for (int32_t i = 0; i < {math.prod(info.shape)}; i++)
        {argument}[i] = (float)({argument}_codes[i] - ({int(info.params.zero_point)})) * \
{scale_text(np.float32(info.params.scale))};
"""


_TO_CODE = """
#include <float.h>

/* Divide by the scale, round half to even, add the zero point, limit. */
static int32_t to_code(float x, float scale, int32_t zero_point, int32_t low, int32_t high)
{
    const float far = 1048576.0f;    /* beyond every code */
    const float whole = 12582912.0f; /* 1.5 * 2^23: numbers of this size have no fraction */
    float steps = x / scale;
    steps = steps < -far ? -far : steps > far ? far : steps;
#if FLT_EVAL_METHOD
    volatile /* no excess precision */
#endif
        const float rounded = steps + whole;
    const int32_t code = (int32_t)(rounded - whole) + zero_point;
    return code < low ? low : code > high ? high : code;
}
"""
