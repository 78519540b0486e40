"""Compare quantization-aware training with other tools: the cost of a step and the gain of a short training.

Usage: python benchmarks/training.py [--steps 100] [--threads 2] [--data $INTAGLIO_DATA] > RUN.json
       python benchmarks/training_page.py RUN.json > benchmarks/results/DATE-training.md

The network is ResNet-20 on CIFAR-10 with its trained float weights. Every contender trains it on the same batches in
the same order (seeded crops and flips) with the same optimizer, learning rates and number of steps, in float32 and
eager mode. Ours is scored by its integer program; the others have no such program for these formats, so they are
scored by their simulation.

Contenders: the float network (cost only), Intaglio (LSQ), torchao (prepare_qat_pt2e with its x86 quantizer, int8 only)
and Brevitas (per-channel weight scales from minimum and maximum, learned activation scales). Install torchao and
brevitas in Intaglio's environment; a missing tool is skipped and the page says so.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from resnet20 import Layers, ResNet20
from torch import Tensor, nn

import intaglio as ig
from intaglio.data import open_data
from intaglio.train.module import QuantizedModule

BATCH, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, PAD = 128, 0.01, 0.9, 1e-4, 4
CALIBRATION = 256
COST_STEPS = 7
FORMATS = {"int8": "cpu-int8", "w4a4": "w4a4"}


def float_network(folder: Path) -> ResNet20:
    """Load the trained float network."""
    net = ResNet20()
    net.load_state_dict(torch.load(folder / "resnet20.pt", weights_only=True))
    return net


def ours(folder: Path, formats: str) -> nn.Module:
    """Prepare the network with `prepare_qat` from calibrated ranges."""
    net, example = float_network(folder).eval(), torch.zeros(2, 3, 32, 32)
    data = folder / "train-resnet20.toml"
    start = ig.quantize(ig.load(net, example), str(data), FORMATS[formats], samples=CALIBRATION, equalize=False,
                        bias_correction=False, calibrator=None)  # fmt: skip
    return ig.prepare_qat(net, example, FORMATS[formats], plan=start.plan)


def torchao(folder: Path, formats: str) -> nn.Module | None:
    """Prepare the exported network with torchao, which has 8 bits only."""
    if formats != "int8":
        return None
    from torchao.quantization.pt2e import move_exported_model_to_train
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    net, example = float_network(folder).train(), torch.zeros(4, 3, 32, 32)
    batch = torch.export.Dim("batch", min=2, max=4096)
    exported = torch.export.export(net, (example,), dynamic_shapes=({0: batch},)).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    return move_exported_model_to_train(prepare_qat_pt2e(exported, quantizer))  # type: ignore[no-any-return]


def brevitas(folder: Path, formats: str) -> nn.Module:
    """Build the network with Brevitas' layers; data of the inner convolutions have the narrow format, as in ours."""
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerChannelFloat, Uint8ActPerTensorFloat

    bits = 8 if formats == "int8" else 4

    class Quantized(Layers):
        def conv(self, inputs: int, outputs: int, stride: int, *, first: bool = False) -> nn.Module:
            return qnn.QuantConv2d(
                inputs, outputs, 3, stride, 1, bias=False, weight_quant=Int8WeightPerChannelFloat,
                weight_bit_width=8 if first else bits,
            )  # fmt: skip

        def linear(self, inputs: int, outputs: int) -> nn.Module:
            return qnn.QuantLinear(inputs, outputs, True, weight_quant=Int8WeightPerChannelFloat)

        def relu(self, *, operand: bool) -> nn.Module:
            width = bits if operand else 8
            return qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=width, collect_stats_steps=20)

        def operand(self) -> nn.Module:
            if bits == 8:
                return nn.Identity()
            return qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, collect_stats_steps=20)

        def input(self) -> nn.Module:
            return qnn.QuantIdentity(bit_width=8, collect_stats_steps=20)

    net = ResNet20(Quantized())
    known = torch.load(folder / "resnet20.pt", weights_only=True)
    missing = net.load_state_dict(known, strict=False)
    assert not missing.unexpected_keys
    return net.train()


CONTENDERS: dict[str, Callable[[Path, str], nn.Module | None]] = {
    "Intaglio": ours,
    "torchao": torchao,
    "Brevitas": brevitas,
}


def batches(images: Tensor, labels: Tensor, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield crops and flips of shuffled samples, the same for every contender."""
    generator = torch.Generator().manual_seed(0)
    order: Tensor = torch.zeros(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(images), generator=generator)
        chosen, order = order[:BATCH], order[BATCH:]
        padded = F.pad(images[chosen], (PAD,) * 4)
        offsets = torch.randint(0, 2 * PAD + 1, (BATCH, 2), generator=generator).tolist()
        flips = (torch.rand(BATCH, generator=generator) < 0.5).tolist()
        cut = [x[:, i : i + 32, j : j + 32] for x, (i, j) in zip(padded, offsets, strict=True)]
        x = torch.stack([c.flip(-1) if flip else c for c, flip in zip(cut, flips, strict=True)])
        yield x, labels[chosen]


def train(module: nn.Module, images: Tensor, labels: Tensor, steps: int) -> float:
    """Train; return the seconds it took."""
    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, i / steps)))
    )
    begin = time.perf_counter()
    for x, y in batches(images, labels, steps):
        step(module, optimizer, x, y)
        schedule.step()
    return time.perf_counter() - begin


def step(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """Run one training step."""
    optimizer.zero_grad()
    F.cross_entropy(module(x), y).backward()
    optimizer.step()


def score(name: str, module: nn.Module, folder: Path, limit: int | None) -> dict[str, Any]:
    """Compute top-1 of the integer program (ours), or of the simulation."""
    data = str(folder / "test-resnet20.toml")
    if isinstance(module, QuantizedModule):
        return {"engine": "integer program", "top1": ig.evaluate(
            ig.freeze(module.eval()).lower(), data, engine="native", limit=limit).value}  # fmt: skip
    if name == "torchao":
        from torchao.quantization.pt2e import move_exported_model_to_eval

        move_exported_model_to_eval(module)
    else:
        module.eval()
    right = total = 0
    with torch.no_grad():
        for x, y in open_data(data, limit=limit).batches(BATCH):
            scores = module(torch.as_tensor(x))
            right += int((np.asarray(scores).argmax(1) == y.reshape(-1)).sum())
            total += len(x)
    return {"engine": "simulation", "top1": 100.0 * right / total}


def cost(folder: Path, formats: str) -> dict[str, float]:
    """Measure the median seconds per step of each contender, in turns with the float network."""
    modules: dict[str, nn.Module] = {"float": float_network(folder).train()}
    modules |= {name: made for name, make in CONTENDERS.items() if (made := attempt(make, folder, formats)) is not None}
    optimizers = {name: torch.optim.SGD(m.parameters(), lr=1e-5, momentum=MOMENTUM) for name, m in modules.items()}
    x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    times: dict[str, list[float]] = {name: [] for name in modules}
    for _ in range(COST_STEPS):
        for name, module in modules.items():
            begin = time.perf_counter()
            step(module, optimizers[name], x, y)
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def peak(name: str, folder: Path, threads: int, formats: str, pipe: Any) -> None:
    """Measure the peak memory that three steps add to a process that holds the network; runs in a separate process."""
    torch.set_num_threads(threads)
    module = float_network(folder).train() if name == "float" else CONTENDERS[name](folder, formats)
    assert module is not None
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-5, momentum=MOMENTUM)
    x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    gc.collect()
    before = _resident()
    for _ in range(3):
        step(module, optimizer, x, y)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(folder: Path, threads: int, formats: str) -> dict[str, int]:
    """Measure the bytes of each contender (see `peak`)."""
    context, found = multiprocessing.get_context("spawn"), {}
    for name in ("float", *CONTENDERS):
        if name != "float" and attempt(CONTENDERS[name], folder, formats) is None:
            continue
        here, there = context.Pipe()
        child = context.Process(target=peak, args=(name, folder, threads, formats, there))
        child.start()
        child.join()
        if here.poll():
            found[name] = here.recv()
    return found


def attempt(make: Callable[[Path, str], nn.Module | None], folder: Path, formats: str) -> nn.Module | None:
    """Make a contender's network; None if its tool is missing or lacks the format."""
    try:
        return make(folder, formats)
    except ImportError as error:
        print(f"{make.__name__}: left out ({error})", file=sys.stderr)
        return None


def main() -> None:
    """Measure all contenders and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=int, help="test images (default: all)")
    parser.add_argument("--data", default=os.environ.get("INTAGLIO_DATA", "../shared/data"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    folder = Path(args.data) / "cifar10"
    parts = list(open_data(str(folder / "train-resnet20.toml"), limit=args.steps * BATCH + BATCH).batches(1000))
    images = torch.cat([torch.as_tensor(np.asarray(x)) for x, _ in parts])
    labels = torch.cat([torch.as_tensor(np.asarray(y)).reshape(-1) for _, y in parts])
    run: dict[str, Any] = {"steps": args.steps, "batch": BATCH, "threads": args.threads, "limit": args.limit}
    run["versions"] = {name: _version(name) for name in ("torch", "torchao", "brevitas")}
    run["formats"] = {}
    for formats in FORMATS:
        rows: dict[str, Any] = {}
        seconds, taken = cost(folder, formats), memory(folder, args.threads, formats)
        for name, make in CONTENDERS.items():
            torch.manual_seed(0)
            module = attempt(make, folder, formats)
            if module is None:
                continue
            spent = train(module, images, labels, args.steps)
            rows[name] = {"seconds": spent, **score(name, module, folder, args.limit)}
            print(formats, name, rows[name], file=sys.stderr, flush=True)
        run["formats"][formats] = {"step": seconds, "memory": taken, "rows": rows}
        print(formats, seconds, taken, file=sys.stderr, flush=True)
    print(json.dumps(run, indent=1))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
