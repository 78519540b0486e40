"""`intaglio train`: quantization-aware training from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.cli.beside import only_beside
from intaglio.cli.endings import after_quantization, written
from intaglio.cli.foreign_files import RESULT_MARKS, RESULTS, refuse_foreign, results_but
from intaglio.cli.layer_options import parse_layers
from intaglio.cli.metric_option import add_metric, chosen_metric
from intaglio.cli.models import MODEL, add_model_options, load_raw_graph
from intaglio.cli.output import whole_folder
from intaglio.cli.picture_options import add_picture_options, described
from intaglio.cli.train_options import add_data, add_machine, add_schedule, add_start
from intaglio.errors import UsageError

if TYPE_CHECKING:
    from intaglio.train.loop import RunOptions, TrainSettings

CHECKPOINT = "checkpoint.pt"
"""File in the output folder from which an interrupted training resumes."""
PATIENCE = 600.0
"""Seconds that a process waits for others; the longest wait is for rank 0 to calibrate."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("model", help=MODEL)
    add(
        "--data",
        required=True,
        metavar="TRAIN",
        help="labelled training data; package.module:name of a DataLoader or of a function that returns one is read "
        "anew in each epoch",
    )
    add("--eval", metavar="TEST", help="labelled data on which float, simulated and integer accuracy are measured last")
    add(
        "--loss",
        metavar="package.module:name",
        help="your own loss in place of cross-entropy: a function of (outputs, targets), tensors, that returns a "
        "scalar tensor, or a torch.nn.Module",
    )
    add_metric(parser)
    add("--eval-limit", type=int, metavar="N", help="use at most this many samples of --eval")
    add("--target", default="cpu-int8", help="hardware target: built-in name or TOML file (default: %(default)s)")
    add("--method", default="lsq", metavar="NAME", help="quantizer that learns scales, see docs (default: %(default)s)")
    add("--weight-method", metavar="NAME", help="quantizer of weights (default: that of --method)")
    add("--estimator", default="clipped", metavar="NAME", help="gradient estimator of rounding (default: %(default)s)")
    add("--weight-estimator", metavar="NAME", help="gradient estimator of weights (default: that of --estimator)")
    add("-o", "--output", required=True, metavar="DIR", help="folder for checkpoints and results")
    add("--resume", action="store_true", help=f"resume from DIR/{CHECKPOINT}; the result is the same, bit for bit")
    add_start(parser)
    add_schedule(parser)
    add_data(parser)
    add_machine(parser)
    add("--json", action="store_true", help="print summary.json instead of tables")
    add_picture_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Train, freeze, measure, and write the results."""
    from intaglio.processes import processes
    from intaglio.train.loop.distributed import together
    from intaglio.workflow.train import train_job
    from intaglio.workflow.train_network import Beginning

    only_beside(args, "--eval DATA", ("eval_limit",), given=args.eval is not None)
    settings = _settings(args)
    data, scored = described(args, args.data, args.eval)
    beginning = Beginning(
        target=args.target,
        method=args.method,
        weight_method=args.weight_method,
        estimator=args.estimator,
        weight_estimator=args.weight_estimator,
        layers=parse_layers(args),
        calibrator=args.calibrator,
        weight_calibrator=args.weight_calibrator,
        samples=None if args.from_nothing else args.samples,
        batch_norm=args.batch_norm,
        teacher=args.teacher,
    )
    target = Path(args.output)
    checkpoint = target / CHECKPOINT
    refuse_foreign(target, RESULTS, RESULT_MARKS)
    with (
        processes(PATIENCE) as ours,
        together(f"The last checkpoint, if there is one, stays: {checkpoint}."),
        whole_folder(target, ours.rank, results_but(args.model, target)) as folder,
        _resumable(checkpoint),
    ):
        ours.first(lambda: _check_checkpoint(checkpoint, args.resume))
        summary = train_job(
            lambda: load_raw_graph(args, args.model),
            data,
            folder,
            beginning,
            settings,
            run_options=_keeping(args, checkpoint),
            processes=ours,
            loss=args.loss,
            held_back=args.held_back,
            eval_data=scored,
            eval_limit=args.eval_limit,
            metric=chosen_metric(args),
            source=Path(args.model) if Path(args.model).exists() else None,
            show=None if args.json else sys.stdout,
        )
    if ours.rank == 0:
        checkpoint.unlink(missing_ok=True)  # the training is complete: there is nothing to resume
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
        raise UsageError(f"{path}: expected the checkpoint of an interrupted training, got no file; leave out --resume")
    if not resume and path.exists():
        raise UsageError(
            f"{path}: expected no checkpoint, got one of an interrupted training; resume with --resume, delete it to "
            "start again, or choose another folder with -o"
        )


@contextmanager
def _resumable(checkpoint: Path) -> Iterator[None]:
    """On Ctrl-C, tell the user if the training can be resumed."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.exists():
            raise KeyboardInterrupt("the same command with --resume continues from the last checkpoint") from None
        raise


def _say(args: argparse.Namespace, target: Path, summary: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(summary))
        return
    print(written(target))
    ending = after_quantization(
        target, summary, model=args.model, data=args.data, eval_data=args.eval, target=args.target, searched=True
    )
    print(ending)
