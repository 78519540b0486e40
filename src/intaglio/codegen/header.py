"""Generate `<prefix>.h`: how to call a model, and the meaning of its integers."""

from __future__ import annotations

from intaglio.codegen.float_functions import float_declaration, float_name
from intaglio.codegen.input_checks import late_status, step_checks
from intaglio.codegen.model import WRITTEN_BY, Model
from intaglio.codegen.steps import tensor
from intaglio.codegen.stream_functions import argument_names, step_declarations
from intaglio.codegen.tensor_macros import tensor_macros
from intaglio.codegen.text import comment
from intaglio.program import TensorInfo
from intaglio.program.input_ranges import input_ranges


def header(model: Model) -> str:
    """Generate `<prefix>.h`: how to call the model, and the meaning of its integers."""
    p, m = model.prefix, model.macro
    program = model.program
    inputs = [program.tensors[name] for name in program.inputs]
    outputs = [program.tensors[name] for name in program.outputs]
    ranges = input_ranges(program)
    taken, given = argument_names(inputs, "input"), argument_names(outputs, "output")

    def also(info: TensorInfo) -> str:
        return f"; float in {float_name(model)}" if info.name in program.float_ends else ""

    described = "\n".join(
        [f" *   {n}: {_describe(t, ranges.get(t.name))}{also(t)}" for t, n in zip(inputs, taken, strict=True)]
        + [f" *   {n}: {_describe(t)}{also(t)}" for t, n in zip(outputs, given, strict=True)]
    )
    macros = "\n".join(
        tensor_macros(tensor, f"{m}_{argument.upper()}", ranges.get(tensor.name))
        for tensors, kind in ((inputs, "input"), (outputs, "output"))
        for tensor, argument in zip(tensors, argument_names(tensors, kind), strict=True)
    )
    hosted = f"""
/* A host with threads and clocks; see {p}_run_on. */
typedef void (*{p}_task)(const void *frame, int32_t task, int32_t tasks);
struct {p}_host {{
    void *user;
    int32_t threads; /* as many parts as a step is divided into at most */
    /* calls task(frame, i, tasks) for every i below tasks, on any threads, and returns when all have returned */
    void (*parallel)(void *user, {p}_task task, const void *frame, int32_t tasks);
    void (*after_step)(void *user, int32_t step); /* or NULL */
}};

/* The same on several threads (the integers do not change), with arrays of pointers in the order above. host: NULL is
 * the caller's thread alone. */
int {p}_run_on(const struct {p}_host *host, const void *const *inputs, void *const *outputs, void *arena,
    size_t arena_bytes);
"""
    return f"""/* {WRITTEN_BY}
 *
 * Target {comment(program.target)}, rounding rule {program.rule.value}, machine {model.machine.name}.
 * A real value is scale * (code - zero_point). One call runs one sample; shapes are (height, width, channels) and the
 * like, dense, last axis fastest:
 *
{described}
 *
 * Working memory: {m}_ARENA_BYTES bytes aligned to {m}_ALIGNMENT, which the caller passes. The code keeps no state:
 * calls with different arenas may run at the same time.
 */
#ifndef {m}_H
#define {m}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {m}_ARENA_BYTES {max(1, *(v.arena.nbytes for v in model.all))}
#define {m}_ALIGNMENT {model.machine.alignment}
#define {m}_INPUTS {len(inputs)}
#define {m}_OUTPUTS {len(outputs)}
#define {m}_STEPS {max(len(v.steps) for v in model.all)}
{_places(model)}
/* Each input and output: size, type, smallest and largest code, and the real value of a code:
 *     x = SCALE * (code - ZERO_POINT)
 *     code = rintf(x / SCALE) + ZERO_POINT, limited to MIN and MAX (rintf of math.h rounds ties to even)
 * SCALE is exactly SCALE_MULTIPLIER * 2^-SCALE_SHIFT, for processors without floating-point numbers. The model itself
 * uses none of these macros. */
{macros}
{_statuses(model)}
/* Bytes of each input and output, in order. */
extern const size_t {p}_input_bytes[{m}_INPUTS];
extern const size_t {p}_output_bytes[{m}_OUTPUTS];

/* Run one sample. Returns {m}_OK, or another status, and then has written nothing{late_status(model)}. */
int {p}_run({parameters(model)});
{step_declarations(model)}{float_declaration(model)}{hosted if model.machine.threads else ""}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _statuses(model: Model) -> str:
    """Generate what a run may return."""
    m = model.macro
    rows = [
        ("OK", ""),
        ("NULL_POINTER", "an input, an output or the arena is NULL"),
        ("MISALIGNED_ARENA", f"the arena is not aligned to {m}_ALIGNMENT"),
        ("SMALL_ARENA", f"arena_bytes is below {m}_ARENA_BYTES"),
        ("WRONG_PROCESSOR", "the processor lacks an instruction set that this code was generated for"),
    ]
    computed = any(step_checks(v) for v in model.all)
    if input_ranges(model.program) or computed:
        meaning = "an input of plain integers holds one that the model does not take"
        rows.append(("OUT_OF_RANGE", meaning + ", or an index that it computes leaves its axis" * computed))
    if set(model.program.float_ends) & set(model.program.inputs):
        rows.append(("NOT_FINITE", "an input of float numbers holds one that is infinite or not a number"))
    lines = []
    for code, (name, meaning) in enumerate(rows):
        text = f"    {m}_{name} = {code}" + ("," if code < len(rows) - 1 else "")
        lines.append(f"{text:<{len(m) + 27}}/* {meaning} */" if meaning else text)
    return f"enum {model.prefix}_status {{\n" + "\n".join(lines) + "\n};\n"


def parameters(model: Model) -> str:
    """Return the C parameters of `<prefix>_run`."""
    program = model.program
    kinds = (("const ", "input", program.inputs), ("", "output", program.outputs))
    typed = [
        f"{const}{tensor(program, name).c_type} *{argument}"
        for const, kind, names in kinds
        for name, argument in zip(names, argument_names([program.tensors[n] for n in names], kind), strict=True)
    ]
    return ", ".join([*typed, "void *arena", "size_t arena_bytes"])


def _places(model: Model) -> str:
    """Generate the offsets of inputs and outputs in the arena, if the plan has places for them."""
    program, m = model.program, model.macro
    kinds = (("input", program.inputs), ("output", program.outputs))
    lines = [
        f"#define {m}_{argument.upper()}_OFFSET {model.arena.bases[name]}\n"
        for kind, names in kinds
        for argument, name in zip(argument_names([program.tensors[n] for n in names], kind), names, strict=True)
        if name in model.arena.bases
    ]
    if not lines:
        return ""
    return f"""
/* The arena has room for inputs and outputs, this many bytes behind its beginning: an input may be written there (the
 * run overwrites it) and an output be left there. Any other memory outside the arena does as well. */
{"".join(lines)}"""


def _describe(info: TensorInfo, range: tuple[int, int] | None = None) -> str:
    text = f"{comment(info.name)}, {info.type.name}, shape {info.shape}"
    if info.params is None:
        return text + ", plain integers" + (f" from {range[0]} to {range[1]}" if range else "")
    scale, zero = info.params.scale.reshape(-1), info.params.zero_point.reshape(-1)
    if scale.size > 1:
        return text + f", {scale.size} scales from {scale.min():.9g} to {scale.max():.9g}"
    return text + f", scale {scale[0]:.9g}, zero point {zero[0]}"
