"""Plan a Program for a machine and generate its C files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from intaglio.codegen import emit
from intaglio.codegen.check import verify_arena
from intaglio.codegen.dispatch import dispatcher
from intaglio.codegen.header import header
from intaglio.codegen.lifetimes import Memory, plan_memory
from intaglio.codegen.machine import MACHINES, Machine
from intaglio.codegen.model import Model
from intaglio.codegen.steps import plan_steps
from intaglio.codegen.views import find_views, separate_outputs
from intaglio.codegen.without_ties import without_ties
from intaglio.errors import CompileError
from intaglio.program import Program


def generate(program: Program, machine: Machine, prefix: str = "model", threads: int = 1) -> dict[str, str]:
    """Generate the C files of a model: path in its folder -> text.

    Args:
        program: a valid Program.
        machine: the target machine.
        prefix: prefix of every public name; a C identifier.
        threads: largest number of threads; working memory is reserved for each.
    Raises:
        CompileError: an operator has no kernel.
    """
    return model_files(plan(program, machine, prefix, threads))


def model_files(model: Model) -> dict[str, str]:
    """Generate the C files of a planned model: path in its folder -> text."""
    files = {f"{model.prefix}.h": header(model)}
    files[f"{model.prefix}.c"] = dispatcher(model) if model.variants else emit.source(model)
    for variant in model.variants:
        files.update(model_files(variant))
    if not model.variants:
        files.update({f"kernels/{path}": text for path, text in emit.kernel_files(model).items()})
    return files


def plan(program: Program, machine: Machine, prefix: str = "model", threads: int = 1) -> Model:
    """Plan steps and memory of a Program for a machine, and for each of the machine's variants."""
    program.verify()
    program = without_ties(separate_outputs(program))
    names = [f"{prefix}_{variant.replace('-', '_')}" for variant in machine.variants]
    variants = [
        _plan(program, MACHINES[variant], name, threads) for variant, name in zip(machine.variants, names, strict=True)
    ]
    if variants:
        return replace(variants[-1], prefix=prefix, machine=machine, variants=tuple(variants))
    return _plan(program, machine, prefix, threads)


def _plan(program: Program, machine: Machine, prefix: str, threads: int) -> Model:
    layout = find_views(program)
    shared = Counter(region.root for region in layout.regions.values())
    whole = {name for name, region in layout.regions.items() if region.root == name and shared[name] == 1}
    steps = plan_steps(program, layout.views, machine.isas, whole, baremetal=not machine.threads)
    memory = Memory(program, layout, machine.alignment, threads, baremetal=not machine.threads)
    steps, arena, schedule = plan_memory(memory, steps)
    verify_arena(memory, steps, arena)
    if arena.nbytes >= 1 << 31:
        raise CompileError(f"working memory: expected less than 2**31 bytes, got {arena.nbytes}; use smaller inputs")
    return Model(program, prefix, machine, tuple(steps), layout, arena, schedule)


def write(files: Mapping[str, str | bytes], directory: Path) -> None:
    """Write files below a folder."""
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
