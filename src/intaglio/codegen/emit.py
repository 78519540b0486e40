"""Generate `<prefix>.c`, and collect the kernel templates that it uses."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from intaglio.codegen.float_functions import float_function
from intaglio.codegen.header import parameters
from intaglio.codegen.input_checks import computed_checks, input_checks
from intaglio.codegen.machine import INSTRUCTION_SETS
from intaglio.codegen.model import WRITTEN_BY, Model
from intaglio.codegen.processor import CPUID, processor, processor_end
from intaglio.codegen.steps import ProgramStep, tensor
from intaglio.codegen.stream_functions import argument_names, step_functions
from intaglio.codegen.text import LONG_STRINGS, Constants, comment, identifier
from intaglio.kernels.kernel import ROOT, CSource

_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def sizes(model: Model) -> str:
    """Generate the definitions of `<prefix>_input_bytes` and `<prefix>_output_bytes`."""
    program, p, m = model.program, model.prefix, model.macro
    kinds = (("input", program.inputs), ("output", program.outputs))
    return "".join(
        f"const size_t {p}_{kind}_bytes[{m}_{kind.upper()}S] = "
        f"{{{', '.join(str(tensor(program, name).nbytes) for name in names)}}};\n"
        for kind, names in kinds
    )


def run_function(model: Model) -> str:
    """Generate `<prefix>_run`, which collects its pointers and calls `<prefix>_run_on`, or `run` without threads."""
    program, p = model.program, model.prefix
    inputs = argument_names([program.tensors[n] for n in program.inputs], "input")
    outputs = argument_names([program.tensors[n] for n in program.outputs], "output")
    call = f"{p}_run_on(NULL, " if model.machine.threads else "run("
    return f"""int {p}_run({parameters(model)})
{{
    const void *const inputs[] = {{{", ".join(inputs)}}};
    void *const outputs[] = {{{", ".join(outputs)}}};
    return {call}inputs, outputs, arena, arena_bytes);
}}
{step_functions(model)}{float_function(model)}"""


def source(model: Model) -> str:
    """Generate `<prefix>.c`: constants, one function for each step, and the run functions."""
    p, m = model.prefix, model.macro
    constants = Constants(max(model.machine.alignment, 16))
    bodies, table = [], []
    addresses = _addresses(model, constants)
    for i, step in enumerate(model.steps):
        bodies.append(_step(model, i, step, constants, addresses))
        table.append(f"    {{step_{i}, {min(step.call.units, step.call.split)}}},")
    checks = computed_checks(model, addresses)
    check = ""
    if checks:
        check = f"""        if (leaves_axis(&frame, i))
            return {m}_OUT_OF_RANGE;
"""
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
{processor(model)}
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
{checks}{processor_end(model)}
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
{input_checks(model)}    frame.inputs = inputs;
    frame.outputs = outputs;
    frame.arena = arena;
    for (int32_t i = 0; i < {m}_STEPS; i++) {{
{check}{loop}
    }}
    return {m}_OK;
}}

{run_function(model)}"""


def kernel_files(model: Model) -> dict[str, str]:
    """Collect the templates that the steps use, with their includes: path below `kernels/` -> text."""
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
    """Make includes relative to the file, so that no include path is needed."""
    folder = posixpath.dirname(path)

    def relative(match: re.Match[str]) -> str:
        return f'#include "{posixpath.relpath(match[1], folder)}"'

    return _INCLUDE.sub(relative, text)


def _step(model: Model, i: int, step: ProgramStep, constants: Constants, addresses: dict[str, str]) -> str:
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
    """Return the C expression of every tensor's address."""
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


def _sources(steps: Iterable[ProgramStep]) -> list[CSource]:
    """Return every template once, in order of first use."""
    return list(dict.fromkeys(source for step in steps for source in step.call.sources))


def _include(source: CSource) -> str:
    defines = "".join(f"#define {name} {value}\n" for name, value in source.defines)
    undefines = "".join(f"#undef {name}\n" for name, _ in source.defines)
    return f'{defines}#include "kernels/{source.header}"\n{undefines}'


def _up(nbytes: int) -> int:
    return -(-nbytes // 64) * 64
