"""`intaglio doctor`: show installed packages, compilers, emulators and the processor's instruction sets."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from intaglio import __version__
from intaglio.codegen.emulate import Runner, find_runner
from intaglio.codegen.machine import MACHINES, machine
from intaglio.codegen.toolchain import find_compiler
from intaglio.errors import CompileError
from intaglio.report.terminal_tables import print_table

PACKAGES = {
    "numpy": "core",
    "safetensors": "core",
    "torch": "quantize",
    "onnx": "quantize",
    "onnx-ir": "quantize",
    "onnxscript": "quantize",
    "pydantic": "quantize",
    "pillow": "quantize",
    "pyarrow": "quantize",
    "rich": "quantize",
    "jinja2": "quantize",
    "onnxruntime": "peers",
    "openvino": "peers",
    "ai-edge-litert": "peers",
    "tensorboard": "train",
    "scikit-learn": "metrics",
    "scipy": "metrics",
    "pycocotools": "metrics",
    "rapidfuzz": "metrics",
    "ziglang": "compiler",
}
COMPILERS = ("gcc", "clang", "aarch64-linux-gnu-gcc", "arm-none-eabi-gcc")
EMULATORS = ("qemu-aarch64", "qemu-aarch64-static", "qemu-system-arm")
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Collect the facts and print them; changes nothing."""
    facts = look()
    if args.json:
        print(json.dumps(facts))
        return 0
    print(
        f"intaglio {facts['intaglio']}, Python {facts['python']}, {facts['system']}, {facts['processors']} processors"
    )
    rows = [(name, extra, facts["packages"][name] or "not installed") for name, extra in PACKAGES.items()]
    print_table("packages", ("package", "for", "version"), rows)
    print_table(
        "machines (for `intaglio compile`)",
        ("machine", "compiler", "self-tests"),
        [(name, m["compiler"] or "none found", m["runs"]) for name, m in facts["machines"].items()],
    )
    print_table(
        "tools", ("tool", "version"), [(name, version or "not found") for name, version in facts["tools"].items()]
    )
    print("instruction sets: " + (", ".join(facts["instruction_sets"]) or "none known"))
    print("GPU: " + (facts["gpu"] or "none that PyTorch sees"))
    missing = sorted({PACKAGES[n] for n, v in facts["packages"].items() if v is None} - {"peers", "compiler"})
    if missing:
        print(f"to quantize, not only to run programs: pip install 'intaglio[{','.join(missing)}]'")
    return 0


def look() -> dict[str, Any]:
    """Collect versions, machines, tools, instruction sets and the GPU."""
    return {
        "intaglio": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machines": {name: _machine(name) for name in ("host", *MACHINES)},
        "tools": {name: _tool(name) for name in (os.environ.get("CC") or "cc", *COMPILERS, *EMULATORS)},
        "instruction_sets": [label for flag, label in INSTRUCTION_SETS.items() if flag in _flags()],
        "gpu": _gpu(),
    }


def _machine(name: str) -> dict[str, str | None]:
    """Find the compiler for a machine, and how programs built for it run here."""
    target = machine(name)
    try:
        compiler = find_compiler(target).text
        reason = None
    except CompileError as error:
        compiler, reason = None, str(error)
    runner = find_runner(target)
    return {
        "compiler": compiler,
        "no_compiler": reason,
        "runs": runner.where if isinstance(runner, Runner) else f"not here: {runner}",
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _tool(name: str) -> str | None:
    path = shutil.which(name)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return path
    return (done.stdout or done.stderr).splitlines()[0].strip() if (done.stdout or done.stderr) else path


def _flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    return set(lines[0].partition(":")[2].split()) if lines else set()


def _gpu() -> str | None:
    if _version("torch") is None:
        return None
    if "torch" not in sys.modules:
        try:
            import torch
        except (ImportError, OSError):
            return None
    else:
        torch = sys.modules["torch"]
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
