"""The text of a generated model: `model.h`, `model.c`, and the kernel templates that it uses."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from intaglio.codegen.machine import INSTRUCTION_SETS, Machine
from intaglio.codegen.memory import Arena
from intaglio.codegen.schedule import Schedule
from intaglio.codegen.steps import Step, tensor
from intaglio.codegen.text import LONG_STRINGS, Constants, comment, identifier
from intaglio.codegen.views import Layout
from intaglio.kernels.kernel import ROOT, Source
from intaglio.program import Program, TensorInfo

CPUID = "isa/cpuid.h"
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
WRITTEN_BY = "Written by Intaglio; do not edit. Integers only: the same ones on every processor."


@dataclass(frozen=True)
class Model:
    """Everything that the text is made from.

    Args:
        program: the Program.
        prefix: of every public name; a C identifier.
        machine: what it is for.
        steps: in order.
        layout: which tensors are parts of others.
        schedule: how the order of steps was found.
        arena: offsets of the tensors in between, and of `scratch <step>`.
        variants: the same for each of the machines that this one may turn out to be at run time, best first; then
            steps and arena are those of the last.
    """

    program: Program
    prefix: str
    machine: Machine
    steps: tuple[Step, ...]
    layout: Layout
    arena: Arena
    schedule: Schedule
    variants: tuple[Model, ...] = ()

    @property
    def all(self) -> tuple[Model, ...]:
        """Its variants, or itself alone."""
        return self.variants or (self,)

    @property
    def macro(self) -> str:
        """The prefix of its macros."""
        return self.prefix.upper()


def header(model: Model) -> str:
    """`<prefix>.h`: how to call the model, and what its integers stand for."""
    p, m = model.prefix, model.macro
    program = model.program
    inputs = [program.tensors[name] for name in program.inputs]
    outputs = [program.tensors[name] for name in program.outputs]
    arguments = parameters(model)
    described = "\n".join(
        [f" *   {n}: {_describe(t)}" for t, n in zip(inputs, _arguments(inputs, "input"), strict=True)]
        + [f" *   {n}: {_describe(t)}" for t, n in zip(outputs, _arguments(outputs, "output"), strict=True)]
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
enum {p}_status {{
    {m}_OK = 0,
    {m}_NULL_POINTER = 1,     /* an input, an output or the arena is NULL */
    {m}_MISALIGNED_ARENA = 2, /* the arena is not aligned to {m}_ALIGNMENT */
    {m}_SMALL_ARENA = 3,      /* arena_bytes is below {m}_ARENA_BYTES */
    {m}_WRONG_PROCESSOR = 4   /* the processor lacks an instruction set that this code was generated for */
}};

/* Bytes of each input and output, in order. */
extern const size_t {p}_input_bytes[{m}_INPUTS];
extern const size_t {p}_output_bytes[{m}_OUTPUTS];

/* Run one sample. Returns {m}_OK, or another status, and then has written nothing. */
int {p}_run({arguments});
{hosted if model.machine.threads else ""}
#ifdef __cplusplus
}}
#endif

#endif
"""


def parameters(model: Model) -> str:
    """The parameters of `<prefix>_run`, in C."""
    program = model.program
    kinds = (("const ", "input", program.inputs), ("", "output", program.outputs))
    typed = [
        f"{const}{tensor(program, name).c_type} *{argument}"
        for const, kind, names in kinds
        for name, argument in zip(names, _arguments([program.tensors[n] for n in names], kind), strict=True)
    ]
    return ", ".join([*typed, "void *arena", "size_t arena_bytes"])


def sizes(model: Model) -> str:
    """The definitions of `<prefix>_input_bytes` and `<prefix>_output_bytes`."""
    program, p, m = model.program, model.prefix, model.macro
    kinds = (("input", program.inputs), ("output", program.outputs))
    return "".join(
        f"const size_t {p}_{kind}_bytes[{m}_{kind.upper()}S] = "
        f"{{{', '.join(str(tensor(program, name).nbytes) for name in names)}}};\n"
        for kind, names in kinds
    )


def run_function(model: Model) -> str:
    """`<prefix>_run`, which gathers its pointers and calls `<prefix>_run_on`, or `run` where there are no threads."""
    program, p = model.program, model.prefix
    inputs = _arguments([program.tensors[n] for n in program.inputs], "input")
    outputs = _arguments([program.tensors[n] for n in program.outputs], "output")
    call = f"{p}_run_on(NULL, " if model.machine.threads else "run("
    return f"""int {p}_run({parameters(model)})
{{
    const void *const inputs[] = {{{", ".join(inputs)}}};
    void *const outputs[] = {{{", ".join(outputs)}}};
    return {call}inputs, outputs, arena, arena_bytes);
}}
"""


def source(model: Model) -> str:
    """`<prefix>.c`: constants, one function per step, and the run."""
    p, m = model.prefix, model.macro
    constants = Constants(max(model.machine.alignment, 16))
    bodies, table = [], []
    addresses = _addresses(model, constants)
    for i, step in enumerate(model.steps):
        bodies.append(_step(model, i, step, constants, addresses))
        table.append(f"    {{step_{i}, {min(step.call.units, step.call.split)}}},")
    functions = "\n".join(_include(source) for source in _sources(model.steps))
    threads = model.machine.threads
    if threads:
        loop = """        const int32_t most = steps[i].parts;
        const int32_t parts = host && host->threads < most ? host->threads : most;
        if (host && parts > 1)
            host->parallel(host->user, steps[i].run, &frame, parts);
        else
            steps[i].run(&frame, 0, 1);
        if (host && host->after_step)
            host->after_step(host->user, i);"""
        signature = (
            f"int {p}_run_on(const struct {p}_host *host, const void *const *inputs, void *const *outputs, "
            "void *arena, size_t arena_bytes)"
        )
    else:
        loop = "        steps[i].run(&frame, 0, 1);"
        signature = "static int run(const void *const *inputs, void *const *outputs, void *arena, size_t arena_bytes)"
    return f"""/* {WRITTEN_BY} */
#include "{p}.h"

{LONG_STRINGS}
{_processor(model)}
struct frame {{
    const void *const *inputs;
    void *const *outputs;
    unsigned char *arena;
}};

{functions}
{"".join(constants.lines)}
{"".join(bodies)}
static const struct {{
    void (*run)(const void *frame, int32_t task, int32_t tasks);
    int32_t parts;
}} steps[{max(1, len(model.steps))}] = {{
{chr(10).join(table) or "    {NULL, 0},"}
}};
{_processor_end(model)}
{sizes(model)}
{signature}
{{
    struct frame frame;
    if (!inputs || !outputs || !arena)
        return {m}_NULL_POINTER;
    for (int32_t i = 0; i < {m}_INPUTS; i++)
        if (!inputs[i])
            return {m}_NULL_POINTER;
    for (int32_t i = 0; i < {m}_OUTPUTS; i++)
        if (!outputs[i])
            return {m}_NULL_POINTER;
    if ((uintptr_t)arena % {m}_ALIGNMENT)
        return {m}_MISALIGNED_ARENA;
    if (arena_bytes < {m}_ARENA_BYTES)
        return {m}_SMALL_ARENA;
    if (!processor_fits())
        return {m}_WRONG_PROCESSOR;
    frame.inputs = inputs;
    frame.outputs = outputs;
    frame.arena = arena;
    for (int32_t i = 0; i < {m}_STEPS; i++) {{
{loop}
    }}
    return {m}_OK;
}}

{run_function(model)}"""


def kernel_files(model: Model) -> dict[str, str]:
    """The templates that the steps use, and what those include: path below `kernels/`, text."""
    files: dict[str, str] = {}
    waiting = [source.header for source in _sources(model.steps)]
    if any(INSTRUCTION_SETS[isa].cpuid for isa in model.machine.isas):
        waiting.append(CPUID)
    while waiting:
        path = waiting.pop()
        if path not in files:
            text = (ROOT / path).read_text()
            waiting += _INCLUDE.findall(text)
            files[path] = _with_relative_includes(text, path)
    return files


def _with_relative_includes(text: str, path: str) -> str:
    """Includes relative to the file itself, so that no compiler needs to be told where the kernels are."""
    folder = posixpath.dirname(path)

    def relative(match: re.Match[str]) -> str:
        return f'#include "{posixpath.relpath(match[1], folder)}"'

    return _INCLUDE.sub(relative, text)


def _step(model: Model, i: int, step: Step, constants: Constants, addresses: dict[str, str]) -> str:
    call = step.call
    params = constants.struct(call.struct, call.fields, f"k{i}")
    inputs = [addresses[name] for name in step.inputs]
    if call.variadic:
        inputs = [f"(const void *const[]){{{', '.join(inputs)}}}"]
    output = addresses[step.output].replace("(const void *)", "(void *)")
    scratch = f"scratch {i}"
    at = "NULL"
    if call.scratch:
        at = f"f->arena + {model.arena.offsets[scratch]} + (size_t)task * {_up(call.scratch)}"
    shapes = " x ".join(str(model.program.tensors[name].shape) for name in step.inputs)
    begin = f"{call.function}(&{params}, {', '.join(inputs)}, {output}, {at}"
    run = f"    {begin}, begin, end);"
    if i in model.arena.backward:  # the output follows the input through the same memory, last row first
        run = f"    for (int32_t unit = end; unit-- > begin;)\n        {begin}, unit, unit + 1);"
    if model.machine.threads:
        part = f"""    const int32_t begin = (int32_t)((int64_t){call.units} * task / tasks);
    const int32_t end = (int32_t)((int64_t){call.units} * (task + 1) / tasks);
    (void)f;"""
    else:  # small processors have no division
        part = f"""    const int32_t begin = 0, end = {call.units};
    (void)f, (void)task, (void)tasks;"""
    return f"""
/* {i}: {comment(step.kind)}, {comment(step.name)}: {shapes} to {model.program.tensors[step.output].shape} */
static void step_{i}(const void *frame, int32_t task, int32_t tasks)
{{
    const struct frame *f = frame;
{part}
{run}
}}
"""


def _addresses(model: Model, constants: Constants) -> dict[str, str]:
    """The C expression of every tensor's address."""
    program = model.program
    bases = {name: f"(const unsigned char *)f->inputs[{i}]" for i, name in enumerate(program.inputs)}
    bases.update({name: f"(unsigned char *)f->outputs[{i}]" for i, name in enumerate(program.outputs)})
    found = {}
    for name in dict.fromkeys(name for step in model.steps for name in (*step.inputs, step.output)):
        region = model.layout.regions[name]
        base, offset = bases.get(region.root, "f->arena"), region.offset
        if region.root in program.constants:
            values = program.constants[region.root]
            base = f"(const unsigned char *){constants.array(values, f'c_{identifier(region.root)}')}"
        elif region.root not in bases:
            offset += model.arena.bases[region.root]
        found[name] = f"(const void *)({base} + {offset})"
    return found


def _sources(steps: Iterable[Step]) -> list[Source]:
    """Every template once, in order of first use."""
    return list(dict.fromkeys(source for step in steps for source in step.call.sources))


def _include(source: Source) -> str:
    defines = "".join(f"#define {name} {value}\n" for name, value in source.defines)
    undefines = "".join(f"#undef {name}\n" for name, _ in source.defines)
    return f'{defines}#include "kernels/{source.header}"\n{undefines}'


def _processor(model: Model) -> str:
    """The check that the processor has what the code needs, and the switch that lets the compiler use it."""
    sets = [INSTRUCTION_SETS[isa] for isa in model.machine.isas]
    checks = " && ".join(
        f'__builtin_cpu_supports("{b}")' for b in dict.fromkeys(b for isa in sets for b in isa.builtins)
    )
    needed = " | ".join(isa.cpuid for isa in sets if isa.cpuid)
    text = "static int processor_fits(void)\n{\n    return 1;\n}\n"
    if needed:
        # The compiler's own check is quick, but zig's always says no, and clang does not know every name.
        guard = ("#if !defined(__clang__)\n", "#endif\n") if "avxvnni" in checks else ("", "")
        text = f"""#include "kernels/{CPUID}"

static int processor_fits(void)
{{
    const uint32_t needed = {needed};
{guard[0]}    if ({checks})
        return 1;
{guard[1]}    return (ig_cpu_features() & needed) == needed;
}}
"""
    target = ",".join(dict.fromkeys(t for isa in sets for t in isa.target.split(",") if t))
    if target:
        text += f"""
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("{target}"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("{target}")
#endif
"""
    return text


def _processor_end(model: Model) -> str:
    if not any(INSTRUCTION_SETS[isa].target for isa in model.machine.isas):
        return ""
    return """
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
"""


def _places(model: Model) -> str:
    """Where inputs and outputs may lie in the arena, if the plan has places for them."""
    program, m = model.program, model.macro
    kinds = (("input", program.inputs), ("output", program.outputs))
    lines = [
        f"#define {m}_{argument.upper()}_OFFSET {model.arena.bases[name]}\n"
        for kind, names in kinds
        for argument, name in zip(_arguments([program.tensors[n] for n in names], kind), names, strict=True)
        if name in model.arena.bases
    ]
    if not lines:
        return ""
    return f"""
/* The arena has room for inputs and outputs, this many bytes behind its beginning: an input may be written there (the
 * run overwrites it) and an output be left there. Any other memory outside the arena does as well. */
{"".join(lines)}"""


def _arguments(tensors: list[TensorInfo], kind: str) -> list[str]:
    return [kind] if len(tensors) == 1 else [f"{kind}{i}" for i in range(len(tensors))]


def _describe(info: TensorInfo) -> str:
    text = f"{comment(info.name)}, {info.type.name}, shape {info.shape}"
    if info.params is None:
        return text + ", plain integers"
    scale, zero = info.params.scale.reshape(-1), info.params.zero_point.reshape(-1)
    if scale.size > 1:
        return text + f", {scale.size} scales from {scale.min():.9g} to {scale.max():.9g}"
    return text + f", scale {scale[0]:.9g}, zero point {zero[0]}"


def _up(nbytes: int) -> int:
    return -(-nbytes // 64) * 64
