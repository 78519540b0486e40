"""A Program's folder of C: what `intaglio compile` writes and a native library is built from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from intaglio.codegen import emit
from intaglio.codegen.machine import Machine
from intaglio.codegen.memory import Buffer, place
from intaglio.codegen.steps import Step, plan_steps, view_roots
from intaglio.program import Program


def generate(program: Program, machine: Machine, prefix: str = "model", threads: int = 1) -> dict[str, str]:
    """The files of a model: path in its folder, text.

    Args:
        program: a Program that the verifier accepts.
        machine: what it is for.
        prefix: of every public name; a C identifier.
        threads: how many at most will run it; working memory is kept for each.
    Raises:
        CompileError: an operator has no kernel.
    """
    model = plan(program, machine, prefix, threads)
    files = {f"{prefix}.h": emit.header(model), f"{prefix}.c": emit.source(model)}
    files.update({f"kernels/{path}": text for path, text in emit.kernel_files(model.steps).items()})
    return files


def plan(program: Program, machine: Machine, prefix: str = "model", threads: int = 1) -> emit.Model:
    """Steps and memory of a Program on a machine."""
    program.verify()
    steps = plan_steps(program, machine.isas)
    roots = view_roots(program)
    buffers = _buffers(program, steps, roots, threads)
    return emit.Model(program, prefix, machine, tuple(steps), roots, place(buffers, machine.alignment))


def _buffers(program: Program, steps: Sequence[Step], roots: dict[str, str], threads: int) -> list[Buffer]:
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for i, step in enumerate(steps):
        first.setdefault(step.output, i)
        for name in (*step.inputs, step.output):
            last[name] = i
    outside = {*program.inputs, *program.constants, *program.outputs}
    buffers = []
    for name, start in first.items():
        if name not in outside:
            info = program.tensors[name]
            nbytes = info.type.dtype.itemsize
            for size in info.shape:
                nbytes *= size
            buffers.append(Buffer(name, nbytes, start, last[name]))
    for i, step in enumerate(steps):
        if step.call.scratch:
            parts = max(1, min(threads, step.call.units, step.call.split))
            buffers.append(Buffer(f"scratch {i}", -(-step.call.scratch // 64) * 64 * parts, i, i))
    return buffers


def write(files: dict[str, str], directory: Path) -> None:
    """Write the files."""
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
