"""`intaglio train`: training with quantization in the forward path."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.cli.models import MODEL, add_model_options, load_raw_graph, parse_layers
from intaglio.cli.on_off import OnOff
from intaglio.cli.output import whole_folder
from intaglio.errors import UsageError

if TYPE_CHECKING:
    from intaglio.train.loop import RunOptions, TrainSettings

CHECKPOINT = "checkpoint.pt"
"""File in the output folder from which an interrupted training goes on."""
PATIENCE = 600.0
"""Seconds that a process waits for the others; the longest wait is for rank 0 to calibrate."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add("model", help=MODEL)
    add("--data", required=True, metavar="TRAIN", help="labelled samples to learn from")
    add("--eval", metavar="TEST", help="labelled data: measure float, simulated and integer accuracy on it in the end")
    add("--metric", default="top1", help="of --eval: top1, top5 or mse (default: %(default)s)")
    add("--eval-limit", type=int, metavar="N", help="evaluate on at most this many samples")
    add("--target", default="cpu-int8", help="built-in name or TOML file (default: %(default)s)")
    add("--method", default="lsq", metavar="NAME", help="how grids are found (default: %(default)s)")
    add("--weight-method", metavar="NAME", help="that of weights, where it is another one")
    add("--estimator", default="clipped", metavar="NAME", help="gradient of rounding (default: %(default)s)")
    add("--weight-estimator", metavar="NAME", help="that of weights, where it is another one")
    add("-o", "--output", required=True, metavar="DIR", help="folder for checkpoints and results")
    add("--resume", action="store_true", help=f"go on from DIR/{CHECKPOINT}, bit for bit as if nothing had happened")
    _add_start(parser)
    _add_schedule(parser)
    _add_data(parser)
    _add_keeping(parser)
    add("--json", action="store_true", help="print summary.json instead of tables")
    add_model_options(parser)


def _add_start(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("start").add_argument
    add("--samples", type=int, default=512, help="calibrate the first grids on so many samples (default: %(default)s)")
    add("--from-nothing", action="store_true", help="begin with grids of what is seen first instead")
    add("--calibrator", metavar="NAME", help="of the first grids, as for quantize (default: the target's own)")
    add("--weight-calibrator", metavar="NAME", help="the same for weights")
    add("--layer", action="append", default=[], metavar="PATTERN=FORMAT", help="another format for some layers")


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("schedule").add_argument
    add("--epochs", type=float, default=5.0, help="passes over the data, parts allowed (default: %(default)s)")
    add("--steps", type=int, metavar="N", help="optimizer steps instead")
    add("--batch", type=int, default=128, help="samples per step, over all processes (default: %(default)s)")
    add("--optimizer", default="sgd", help="sgd (Nesterov momentum) or adamw (default: %(default)s)")
    add("--lr", type=float, help="largest learning rate (default: sgd 0.001 at eight bits, 0.01 below; adamw a tenth)")
    add(
        "--final-lr",
        type=float,
        default=0.01,
        metavar="PART",
        help="cosine annealing down to this part of it (default: %(default)s)",
    )
    add(
        "--warmup",
        type=float,
        default=0.02,
        metavar="PART",
        help="part of the steps over which it rises (default: %(default)s)",
    )
    add("--momentum", type=float, default=0.9, help="of sgd (default: %(default)s)")
    add("--weight-decay", type=float, default=1e-4, help="of weights only (default: %(default)s)")
    add(
        "--quantizer-lr",
        type=float,
        default=0.1,
        metavar="FACTOR",
        help="learning rate of scales and the like, as a multiple (default: %(default)s)",
    )
    add(
        "--label-smoothing",
        type=float,
        default=0.0,
        metavar="PART",
        help="of each label, spread over all classes (default: %(default)s)",
    )
    add(
        "--batch-norm",
        default="auto",
        metavar="auto|revive|as-is",
        help="give a network whose batch norms were folded new ones to train with (default: below 8 bits)",
    )
    add(
        "--freeze-batch-norm",
        type=float,
        metavar="AT",
        help="part of the training after which batch norms use running statistics",
    )
    add("--freeze-ranges", type=float, metavar="AT", help="part after which observed ranges stay")
    add("--gradual", metavar="KIND", help="quantize little by little: weights, noise or layers (default: all at once)")
    add(
        "--gradual-end",
        type=float,
        default=0.5,
        metavar="AT",
        help="part of the training at whose end all is quantized (default: %(default)s)",
    )
    add(
        "--reestimate-batch-norm",
        type=int,
        default=0,
        metavar="N",
        help="take batch-norm statistics anew over N batches in the end; kept where that measures better",
    )
    add("--teacher", metavar="float|MODEL.onnx", help="learn from this network's scores too")
    add(
        "--distill",
        type=float,
        metavar="PART",
        help="weight of the teacher's loss (default with a teacher: 0.5); 1: no labels are needed",
    )
    add(
        "--distill-features",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="learn from the features of --teacher float in which blocks end; 5 is a good weight below 8 bits",
    )
    add("--temperature", type=float, default=4.0, help="of the teacher's scores (default: %(default)s)")
    add("--seed", type=int, default=0, help="of order, crops and everything else random (default: %(default)s)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("data").add_argument
    add("--augment", default="", metavar="crop,flip", help="random crops and mirror images of each batch")
    add("--pad", type=int, default=4, help="pixels around an image that crops reach into (default: %(default)s)")
    add(
        "--held-back",
        type=int,
        metavar="N",
        help="spread samples of TRAIN, on which the best evaluation is chosen (default: 2000 or a tenth; 0: the last)",
    )
    add(
        "--cache",
        type=int,
        default=2048,
        metavar="MIB",
        help="memory for decoded samples; others are read again (default: %(default)s)",
    )
    add("--workers", type=int, default=0, metavar="N", help="processes that read ahead (default: %(default)s)")


def _add_keeping(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("machine").add_argument
    add("--precision", default="float32", help="of products in training: float32 or bf16 (default: %(default)s)")
    add(
        "--channels-last",
        action=OnOff,
        default=True,
        help="channels innermost in memory (default: on)",
    )
    add("--compile", action="store_true", help="fuse each step with torch.compile: a slow start, faster steps")
    add("--device", metavar="NAME", help="cpu, cuda or cuda:1 (default: the GPU when there is one)")
    add(
        "--checkpoint-minutes",
        type=float,
        default=5.0,
        metavar="M",
        help="between two checkpoints (default: %(default)s)",
    )
    add("--checkpoint-steps", type=int, metavar="N", help="write one every N steps too")
    add("--lines", type=int, default=50, metavar="N", help="steps between two lines of progress (default: %(default)s)")
    add("--tensorboard", metavar="DIR", help="write logs for TensorBoard")


def run(args: argparse.Namespace) -> int:
    """Train, freeze, measure, write."""
    from intaglio.processes import processes
    from intaglio.train.loop.distributed import together
    from intaglio.workflow.train import Beginning, train_job

    settings = _settings(args)
    beginning = Beginning(
        target=args.target,
        method=args.method,
        weight_method=args.weight_method,
        estimator=args.estimator,
        weight_estimator=args.weight_estimator,
        layers=parse_layers(args.layer),
        calibrator=args.calibrator,
        weight_calibrator=args.weight_calibrator,
        samples=None if args.from_nothing else args.samples,
        batch_norm=args.batch_norm,
        teacher=args.teacher,
    )
    target = Path(args.output)
    checkpoint = target / CHECKPOINT
    with (
        processes(PATIENCE) as ours,
        together(f"The last checkpoint, if there is one, stays: {checkpoint}."),
        whole_folder(target, ours.rank) as folder,
        _resumable(checkpoint),
    ):
        ours.first(lambda: _check_checkpoint(checkpoint, args.resume))
        summary = train_job(
            lambda: load_raw_graph(args, args.model),
            args.data,
            folder,
            beginning,
            settings,
            run_options=_keeping(args, checkpoint),
            processes=ours,
            held_back=args.held_back,
            eval_data=args.eval,
            eval_limit=args.eval_limit,
            metric=args.metric,
            source=Path(args.model) if Path(args.model).exists() else None,
            show=None if args.json else sys.stdout,
        )
    if ours.rank == 0:
        checkpoint.unlink(missing_ok=True)  # nothing is left to go on with
        _say(args, target, summary)
    return 0


def _settings(args: argparse.Namespace) -> TrainSettings:
    from intaglio.train.loop import TrainSettings

    distill = args.distill if args.distill is not None else 0.5 if args.teacher else 0.0
    return TrainSettings(
        epochs=args.epochs,
        steps=args.steps,
        batch=args.batch,
        optimizer=args.optimizer,
        lr=args.lr,
        final_lr=args.final_lr,
        warmup=args.warmup,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        quantizer_lr=args.quantizer_lr,
        label_smoothing=args.label_smoothing,
        augment=tuple(sorted({name for name in args.augment.split(",") if name})),
        pad=args.pad,
        precision=args.precision,
        channels_last=args.channels_last,
        compile=args.compile,
        freeze_batch_norm=args.freeze_batch_norm,
        freeze_ranges=args.freeze_ranges,
        gradual=args.gradual,
        gradual_end=args.gradual_end,
        reestimate=args.reestimate_batch_norm,
        distill=distill,
        distill_features=args.distill_features,
        temperature=args.temperature,
        seed=args.seed,
    )


def _keeping(args: argparse.Namespace, checkpoint: Path) -> RunOptions:
    from intaglio.train.loop import RunOptions

    return RunOptions(
        path=checkpoint,
        resume=args.resume,
        minutes=args.checkpoint_minutes,
        steps=args.checkpoint_steps,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
        lines=args.lines,
        tensorboard=Path(args.tensorboard) if args.tensorboard else None,
        cache=args.cache << 20,
        workers=args.workers,
        device=args.device,
    )


def _check_checkpoint(path: Path, resume: bool) -> None:
    if resume and not path.exists():
        raise UsageError(
            f"{path}: expected the checkpoint of an interrupted training, got nothing there; leave out --resume"
        )
    if not resume and path.exists():
        raise UsageError(
            f"{path}: expected no checkpoint, got that of an interrupted training; go on with --resume, delete it to "
            "begin anew, or choose another folder with -o"
        )


@contextmanager
def _resumable(checkpoint: Path) -> Iterator[None]:
    """Say so where an interrupted training has left something to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            raise KeyboardInterrupt("the same command with --resume goes on at the last checkpoint") from None
        raise


def _say(args: argparse.Namespace, target: Path, summary: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(summary))
        return
    names = sorted(p.name for p in target.iterdir() if not p.name.startswith("."))
    print(f"written to {args.output}: {', '.join(names)}")
