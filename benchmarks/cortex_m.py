"""Measure instructions, flash, arena and stack of the MLPerf Tiny networks on Cortex-M; print a Markdown table.

Usage: python benchmarks/cortex_m.py [--networks resnet_8,ds_cnn] [--machines cortex-m4,cortex-m0] [--target mcu-int8]

The networks are those of `networks.py` with random weights. The counts do not depend on the weights, except for
branches in the rounding of a few values. Each network is compiled with arm-none-eabi-gcc -O2 and run by
qemu-system-arm on two random inputs; all outputs are compared with the reference interpreter.

Instructions: the emulator (`-icount shift=6`) advances its clock by 64 ns per executed instruction of any kind, and a
timer of 25 MHz is read before and after the first inference. So this counts instructions, not cycles: a load or a
multiplication that takes two cycles on the chip counts as one. Flash: code and constants of the model's object file
only. Stack: the use of the first inference, measured by stack painting, and the bound from the compiler's call graph.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from networks import NETWORKS, build, samples

import intaglio as ig
from intaglio.codegen import package as packages
from intaglio.codegen.build import plan, write
from intaglio.codegen.emulate import SelfTestResult
from intaglio.codegen.machine import machine as find_machine
from intaglio.codegen.toolchain import find_compiler
from intaglio.program import Program

TINY = ("resnet_8", "ds_cnn", "mobilenet_v1", "autoencoder")
MACHINES = ("cortex-m4", "cortex-m7", "cortex-m0")


def program_of(name: str, target: str) -> Program:
    """Quantize the network on random data; return its Program."""
    import torch

    network = NETWORKS[name]
    graph = ig.load(build(network), (torch.zeros(network.shape),))
    return ig.quantize(graph, samples(network, 16), target=target, calibrator="max").lower()


def products(program: Program) -> int:
    """Count the multiply-accumulate operations of one inference in convolutions and dense layers."""
    weighted = [node for node in program.nodes if node.operator.kind in ("conv2d", "dense")]
    return sum(n.operator.accumulators(*(program.tensors[i].shape for i in n.inputs)) for n in weighted)


def measure(program: Program, name: str) -> list[str]:
    """Measure the cells of a row: instructions, instructions per product, flash, arena, stack use and stack bound."""
    machine = find_machine(name)
    compiler = find_compiler(machine)
    with tempfile.TemporaryDirectory() as folder:
        write(packages.package(program, machine, "model", compiler.command), Path(folder))
        built = packages.build(Path(folder), machine, "model", compiler)
    assert isinstance(built.outcome, SelfTestResult), built.outcome
    instructions = built.outcome.instructions or 0
    arena = plan(program, machine).arena.nbytes
    numbers = (instructions, built.flash, arena, built.outcome.stack, built.stack)
    total, *rest = (f"{n:,}" for n in numbers if n is not None)
    return [total, f"{instructions / products(program):.2f}", *rest]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", default=",".join(TINY))
    parser.add_argument("--machines", default=",".join(MACHINES))
    parser.add_argument("--target", default="mcu-int8")
    args = parser.parse_args()
    print("| network | MMAC | machine | instructions | per MAC | flash | arena | stack used | stack at most |")
    print("|---|--:|---|" + "--:|" * 6)
    for name in args.networks.split(","):
        program = program_of(name, args.target)
        for machine in args.machines.split(","):
            row = [NETWORKS[name].title, f"{products(program) / 1e6:.2f}", machine, *measure(program, machine)]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
