"""Generate `<prefix>_reset` and `<prefix>_step`: a stream whose states stay in a struct of the caller's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.codegen.input_checks import late_status
from intaglio.codegen.model import Model
from intaglio.codegen.text import array_text, comment, integer_text
from intaglio.kernels.kernel import C_TYPES
from intaglio.program import TensorInfo
from intaglio.program.structure import ProgramState


@dataclass(frozen=True)
class StateBuffer:
    """One state in C: two buffers, of which a step reads one and writes the other.

    Args:
        state: the Program's.
        member: name in the struct, which is that of the parameter of `<prefix>_run`.
        c_type, elements: of one buffer.
    """

    state: ProgramState
    member: str
    c_type: str
    elements: int


def argument_names(tensors: list[TensorInfo], kind: str) -> list[str]:
    """Return the parameter names of inputs or outputs."""
    return [kind] if len(tensors) == 1 else [f"{kind}{i}" for i in range(len(tensors))]


def named_tensors(model: Model, kind: str) -> list[tuple[TensorInfo, str]]:
    """Pair the inputs or outputs with their parameter names."""
    program = model.program
    tensors = [program.tensors[name] for name in (program.inputs if kind == "input" else program.outputs)]
    return list(zip(tensors, argument_names(tensors, kind), strict=True))


def own_tensors(model: Model, kind: str) -> list[tuple[TensorInfo, str]]:
    """Pair the inputs or outputs that are no states with their parameter names."""
    kept = {name for state in model.program.states for name in (state.input, state.output)}
    return [(info, argument) for info, argument in named_tensors(model, kind) if info.name not in kept]


def state_buffers(model: Model) -> list[StateBuffer]:
    """Return the states in the order of their inputs."""
    by_input = {state.input: state for state in model.program.states}
    found = []
    for info, argument in named_tensors(model, "input"):
        if info.name in by_input:
            c_type = C_TYPES[info.type.dtype.str[1:]]
            found.append(StateBuffer(by_input[info.name], argument, c_type, math.prod(info.shape)))
    return found


def step_parameters(model: Model) -> str:
    """Return the C parameters of `<prefix>_step`."""
    return ", ".join(
        [f"struct {model.prefix}_state *state", *_step_tensors(model), "void *arena", "size_t arena_bytes"]
    )


def _step_tensors(model: Model) -> Iterator[str]:
    for const, kind in (("const ", "input"), ("", "output")):
        for info, argument in own_tensors(model, kind):
            yield f"{const}{C_TYPES[info.type.dtype.str[1:]]} *{argument}"


def step_declarations(model: Model) -> str:
    """Generate the struct and the declarations in `<prefix>.h`; nothing for a Program without states."""
    if not model.program.states:
        return ""
    p, m = model.prefix, model.macro
    members = "".join(
        f"    {b.c_type} {b.member}[2][{b.elements}]; /* {comment(b.state.input)}, from {comment(b.state.output)} */\n"
        for b in state_buffers(model)
    )
    return f"""
/* A stream: the states that a step leaves for the next one. Each stream has one of these, and calls {p}_reset before
 * its first step. A state's present codes are in its buffer number `current`. */
struct {p}_state {{
    int32_t current;
{members}}};

/* Begin a stream (again): every state gets its initial codes. */
void {p}_reset(struct {p}_state *state);

/* Run one sample on the states of the step before. Returns {m}_OK, or another status, and then the states are as
 * they were, and it has written nothing{late_status(model)}. */
int {p}_step({step_parameters(model)});
"""


def step_functions(model: Model) -> str:
    """Generate the definitions in `<prefix>.c`; nothing for a Program without states."""
    buffers = state_buffers(model)
    if not buffers:
        return ""
    p, m = model.prefix, model.macro
    read = {b.state.input: f"state->{b.member}[current]" for b in buffers}
    written = {b.state.output: f"state->{b.member}[next]" for b in buffers}
    inputs = ", ".join(read.get(info.name, argument) for info, argument in named_tensors(model, "input"))
    outputs = ", ".join(written.get(info.name, argument) for info, argument in named_tensors(model, "output"))
    run = f"{p}_run_on(NULL, " if model.machine.threads else "run("
    arrays, resets = [], []
    for b in buffers:
        codes = b.state.initial.reshape(-1)
        value = integer_text(int(codes[0]))
        if (codes != codes[0]).any():
            arrays.append(array_text(codes, f"initial_{b.member}", 16))
            value = f"initial_{b.member}[i]"
        resets.append(f"    for (int32_t i = 0; i < {b.elements}; i++)\n        state->{b.member}[0][i] = {value};\n")
    return f"""
{"".join(arrays)}
void {p}_reset(struct {p}_state *state)
{{
    state->current = 0;
{"".join(resets)}}}

int {p}_step({step_parameters(model)})
{{
    if (!state)
        return {m}_NULL_POINTER;
    const int32_t current = state->current & 1, next = 1 - current;
    const void *const inputs[] = {{{inputs}}};
    void *const outputs[] = {{{outputs}}};
    const int status = {run}inputs, outputs, arena, arena_bytes);
    if (status == {m}_OK)
        state->current = next;
    return status;
}}
"""
