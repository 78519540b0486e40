"""`intaglio quantize`: post-training quantization from the command line."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from intaglio.cli.beside import only_beside
from intaglio.cli.end_options import add_end_options, parse_ends
from intaglio.cli.endings import after_quantization, written
from intaglio.cli.foreign_files import RESULT_MARKS, RESULTS, refuse_foreign, results_but
from intaglio.cli.layer_options import add_layer_options, parse_layers
from intaglio.cli.metric_option import add_metric, chosen_metric
from intaglio.cli.models import (
    MODEL,
    add_model_options,
    load_any_or_quantized,
    load_graph,
    load_raw_graph,
    parse_range,
)
from intaglio.cli.on_off import OnOff
from intaglio.cli.output import whole_folder
from intaglio.cli.picture_options import add_picture_options, described, picture_words
from intaglio.errors import UsageError

if TYPE_CHECKING:
    from intaglio.data import DataLike
    from intaglio.graph import Graph
    from intaglio.quantized import Quantized
    from intaglio.workflow.quantize import TrainingStage

WORK = ".search"
"""Subfolder of the output folder that keeps the results of an unfinished recipe search."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--data",
        required=True,
        help="calibration data: .toml descriptor, folder of images, .npy, .npz or .parquet; `none` calibrates without "
        "data, `synthesize` generates inputs from the network",
    )
    parser.add_argument(
        "--input-range",
        metavar="LOW,HIGH",
        help="range of the inputs after preprocessing; only with --data none or --data synthesize",
    )
    parser.add_argument(
        "--target",
        default="cpu-int8",
        help="hardware target: built-in name (see `intaglio targets`) or TOML file (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--samples", type=int, default=512, help="calibrate on at most this many samples (default: %(default)s)"
    )
    parser.add_argument(
        "--eval",
        metavar="DATA",
        help="labelled data on which the float network, the simulation and the integer program are measured",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="search: try recipes, cheapest first, until the integer program loses at most this much of --metric on "
        "--eval, in the metric's unit: points of percent, dB (of mse: percent)",
    )
    parser.add_argument(
        "--train", metavar="DATA", help="labelled training data: with --max-drop, train as the last stage of the search"
    )
    parser.add_argument("--train-epochs", type=float, metavar="N", help="epochs of training with --train (default: 2)")
    parser.add_argument(
        "--train-steps", type=int, metavar="N", help="optimizer steps of training with --train, instead of epochs"
    )
    parser.add_argument(
        "--train-loss",
        metavar="package.module:name",
        help="your own loss of training with --train, in place of cross-entropy, as --loss of `intaglio train`",
    )
    parser.add_argument("--eval-limit", type=int, metavar="N", help="use at most this many samples of --eval")
    add_metric(parser)
    parser.add_argument(
        "--calibrator",
        default="auto",
        help="how ranges of activations are chosen: max, moving-average, percentile-99.99, entropy, mse, sigma-3, or "
        "auto, "
        "which compares them (default: auto)",
    )
    parser.add_argument(
        "--weight-calibrator",
        metavar="NAME",
        help="how ranges of weights are chosen: a name as for --calibrator (default: the target's own)",
    )
    add_layer_options(parser)
    _add_recovery(parser)
    parser.add_argument(
        "--rounding",
        default="nearest",
        metavar="NAME",
        help=f"how weights are rounded: {_roundings()} (default: nearest)",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="optimization steps per layer of --rounding adaround and blocks (default: adaround 1000, blocks 200)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="file that saves the progress of learned rounding; the same command resumes from it after an interruption",
    )
    parser.add_argument(
        "--plan",
        metavar="plan.json",
        help="formats and calibrators of an edited Plan; a value whose calibrator is null keeps its parameters",
    )
    parser.add_argument(
        "--opset",
        type=int,
        metavar="N",
        help="opset of model.qdq.onnx (default: the lowest possible); from 25 on, 2-bit integers are stored as such",
    )
    parser.add_argument(
        "--ir-version", type=int, metavar="N", help="IR version of model.qdq.onnx (default: that of the opset)"
    )
    parser.add_argument(
        "--write",
        metavar="NAMES",
        default="",
        help="further files, separated by commas: tflite (model.tflite with the program's integers, for a target whose "
        "rounding rule is tflite)",
    )
    parser.add_argument(
        "--keep-tail",
        action=OnOff,
        default=True,
        help="write post-processing that integers cannot compute, such as non-maximum suppression, as tail.onnx; the "
        "network ends where it begins (default: on)",
    )
    add_end_options(
        parser,
        "declare a stream: INPUT takes what OUTPUT gave at the step before; --data and --eval without INPUT are the "
        "steps of one stream, or sequences of steps, and the float network computes the states (may be repeated)",
    )
    parser.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    add_picture_options(parser)
    add_model_options(parser)


def _roundings() -> str:
    """List the names of `--rounding`, with what they do."""
    from intaglio.ptq.recipe import NEAREST
    from intaglio.ptq.roundings import ALGORITHMS

    return ", ".join([NEAREST, *(f"{name} ({row.help})" if row.help else name for name, row in ALGORITHMS.items())])


def _add_recovery(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each recovery algorithm that a recipe switches."""
    from intaglio.ptq.recipe import Recipe, recovery_rows

    for name, row in recovery_rows().items():
        option = f"--{name.replace('_', '-')}"
        if getattr(Recipe, name):
            parser.add_argument(option, action=OnOff, default=True, help=f"{row.help} (default: on)")
        else:
            parser.add_argument(option, action="store_true", help=row.help)


def run(args: argparse.Namespace) -> int:
    """Quantize, lower, measure, and write the results."""
    from intaglio.processes import processes
    from intaglio.ptq.recipe import NEAREST, Recipe, recovery_rows
    from intaglio.workflow.quantize import quantize_job

    only_beside(args, "--train DATA", ("train_epochs", "train_steps"), given=args.train is not None)
    only_beside(args, "--eval DATA", ("eval_limit",), given=args.eval is not None)
    learned = args.rounding != NEAREST or args.max_drop is not None
    only_beside(args, "--rounding adaround or blocks", ("iterations", "checkpoint"), given=learned)
    if args.max_drop is not None and args.checkpoint is not None:
        raise UsageError(
            "--checkpoint: expected no --max-drop beside it, as a search saves its progress in the output folder, "
            f"got {args.checkpoint}; leave it out: the same command resumes the search"
        )
    recipe = Recipe(
        calibrator=args.calibrator,
        weight_calibrator=args.weight_calibrator,
        layers=parse_layers(args),
        rounding=args.rounding,
        iterations=args.iterations,
        **{name: getattr(args, name) for name in recovery_rows()},
    )
    data, scored, training = described(args, args.data, args.eval, args.train)
    output = Path(args.output)
    refuse_foreign(output, RESULTS, RESULT_MARKS)
    work = output / WORK
    kept = [work] if args.checkpoint is None else [work, Path(args.checkpoint)]
    with (
        processes() as ours,
        whole_folder(output, ours.rank, results_but(args.model, output)) as folder,
        _resumable(kept),
    ):
        summary = quantize_job(
            lambda: _loaded(args),
            data,
            folder,
            target=args.target,
            samples=args.samples,
            input_range=parse_range(args.input_range),
            eval_data=scored,
            eval_limit=args.eval_limit,
            metric=chosen_metric(args),
            recipe=recipe,
            checkpoint=Path(args.checkpoint) if args.checkpoint else None,
            max_drop=args.max_drop,
            work=work,
            source=Path(args.model) if Path(args.model).exists() else None,
            show=None if args.json or ours.rank != 0 else sys.stdout,
            stage=_stage(args, training),
            processes=ours,
            plan=args.plan,
            opset=args.opset,
            ir_version=args.ir_version,
            keep_tail=args.keep_tail,
            ends=parse_ends(args),
            write=[name for name in args.write.split(",") if name],
        )
    if ours.rank != 0:
        return 0
    shutil.rmtree(work, ignore_errors=True)  # the search is complete: there is nothing to resume
    if args.json:
        print(json.dumps(summary))
    else:
        print(written(Path(args.output)))
        print(
            after_quantization(
                Path(args.output),
                summary,
                model=args.model,
                data=args.data,
                eval_data=args.eval,
                target=args.target,
                options=picture_words(args),
                searched=args.max_drop is not None,
            )
        )
    return 0


_CHOICES = (
    "target", "input_range", "max_drop", "train", "calibrator", "weight_calibrator", "layer", "rounding", "iterations",
    "checkpoint", "plan", "ignored",
)  # fmt: skip
"""Options that choose formats, ranges or codes, which a quantized file has already; the recovery algorithms too."""


def _loaded(args: argparse.Namespace) -> Graph | Quantized:
    """Load the network; options that choose numbers are refused beside a file that has them."""
    from intaglio.ptq.recipe import recovery_rows
    from intaglio.quantized import Quantized

    if Path(args.model).suffix == ".intaglio":
        return load_graph(args, args.model)  # refused, with what to do
    model = load_any_or_quantized(args, args.model)
    if not isinstance(model, Quantized):
        return cast("Graph", model)
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    options = [
        f"--{n.replace('_', '-')}" for n in (*_CHOICES, *recovery_rows()) if getattr(args, n) != parser.get_default(n)
    ]
    if options:
        raise UsageError(
            f"{args.model}: expected no {', '.join(options)} beside a file that is already quantized, whose scales and "
            "zero points are kept; leave them out, or give the float network that it was made from"
        )
    return model


def _stage(args: argparse.Namespace, data: DataLike | None) -> TrainingStage | None:
    """Build the training stage of the recipe search; None without --train."""
    from intaglio.search.training import stage_settings
    from intaglio.workflow.quantize import TrainingStage

    if data is None:
        return None
    settings = stage_settings(args.train_epochs, args.train_steps)
    return TrainingStage(lambda: load_raw_graph(args, args.model), data, settings, args.train_loss)


@contextmanager
def _resumable(kept: Sequence[Path]) -> Iterator[None]:
    """On Ctrl-C, tell the user if the same command can resume the run."""
    try:
        yield
    except KeyboardInterrupt:
        if any(path.exists() for path in kept):
            raise KeyboardInterrupt("the same command resumes where it stopped") from None
        raise
