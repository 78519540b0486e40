"""A Program's folder of C: what `intaglio compile` writes and a native library is built from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from intaglio.codegen import emit
from intaglio.codegen.check import verify_arena
from intaglio.codegen.lifetimes import Memory, plan_memory
from intaglio.codegen.machine import Machine
from intaglio.codegen.steps import plan_steps
from intaglio.codegen.views import find_views, separate_outputs
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
    return model_files(plan(program, machine, prefix, threads))


def model_files(model: emit.Model) -> dict[str, str]:
    """The files of a planned model: path in its folder, text."""
    files = {f"{model.prefix}.h": emit.header(model), f"{model.prefix}.c": emit.source(model)}
    files.update({f"kernels/{path}": text for path, text in emit.kernel_files(model).items()})
    return files


def plan(program: Program, machine: Machine, prefix: str = "model", threads: int = 1) -> emit.Model:
    """Steps and memory of a Program on a machine."""
    program.verify()
    program = separate_outputs(program)
    layout = find_views(program)
    shared = Counter(region.root for region in layout.regions.values())
    whole = {name for name, region in layout.regions.items() if region.root == name and shared[name] == 1}
    steps = plan_steps(program, layout.views, machine.isas, whole, bare=not machine.threads)
    memory = Memory(program, layout, machine.alignment, threads, bare=not machine.threads)
    steps, arena, schedule = plan_memory(memory, steps)
    verify_arena(memory, steps, arena)
    return emit.Model(program, prefix, machine, tuple(steps), layout, arena, schedule)


def write(files: dict[str, str], directory: Path) -> None:
    """Write the files."""
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
