"""`intaglio quantize`: the main job."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.cli.models import MODEL, add_model_options, load_graph, load_raw_graph, parse_layers, parse_range
from intaglio.cli.on_off import OnOff
from intaglio.cli.output import whole_folder

if TYPE_CHECKING:
    from intaglio.workflow.quantize import TrainingStage

WORK = ".search"
"""Folder in the output folder for what an interrupted search has measured."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--data",
        required=True,
        help="calibration data: .toml descriptor, folder of images or .npy, .parquet, .npz; or none, or synthesize",
    )
    parser.add_argument(
        "--input-range",
        metavar="LOW,HIGH",
        help="range of the inputs after preprocessing, for --data none and --data synthesize",
    )
    parser.add_argument(
        "--target", default="cpu-int8", help="built-in name or TOML file (default: %(default)s); see `intaglio targets`"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--samples", type=int, default=512, help="calibrate on at most this many samples (default: %(default)s)"
    )
    parser.add_argument(
        "--eval", metavar="DATA", help="labelled data: measure float, simulated and integer accuracy on it"
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="try ever dearer recipes until the integer program loses no more than this on --eval",
    )
    parser.add_argument(
        "--train", metavar="DATA", help="labelled data: train with quantization as the last of these recipes"
    )
    parser.add_argument("--train-epochs", type=float, metavar="N", help="passes over these data (default: 2)")
    parser.add_argument("--train-steps", type=int, metavar="N", help="optimizer steps instead")
    parser.add_argument("--eval-limit", type=int, metavar="N", help="evaluate on at most this many samples")
    parser.add_argument("--metric", default="top1", help="top1, top5 or mse (default: %(default)s)")
    parser.add_argument(
        "--calibrator",
        default="auto",
        help="max, moving-average, percentile-99.99, entropy, mse, sigma-3 or auto (default)",
    )
    parser.add_argument("--weight-calibrator", metavar="NAME", help="the same for weights (default: the target's)")
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="PATTERN=FORMAT",
        help="another format for some layers: first=a16, last=a16, 'features.1*=w8a16'",
    )
    parser.add_argument(
        "--equalize",
        action=OnOff,
        default=True,
        help="cut constant channels and scale channels across layers where that measures better (default: on)",
    )
    parser.add_argument(
        "--smooth",
        action="store_true",
        help="move the spread of activations' channels into the weights behind them where that measures better",
    )
    parser.add_argument(
        "--clamp-weights", action="store_true", help="try narrower ranges of weights, kept where that measures better"
    )
    parser.add_argument(
        "--rounding",
        default="nearest",
        metavar="NAME",
        help="of weights: nearest (default), gptq, adaround (learned, takes minutes) or blocks (learned by blocks)",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="learning steps per layer (default: adaround 1000, blocks 200)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="written as rounding is learned; an interrupted run started again with it goes on there",
    )
    parser.add_argument(
        "--bias-correction",
        action=OnOff,
        default=True,
        help="take what the rounding of weights adds to mean outputs out of the biases (default: on)",
    )
    parser.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Quantize, lower, measure, write."""
    from intaglio.processes import processes
    from intaglio.ptq.recipe import Recipe
    from intaglio.workflow import quantize_job

    recipe = Recipe(
        calibrator=args.calibrator,
        weight_calibrator=args.weight_calibrator,
        layers=parse_layers(args.layer),
        equalize=args.equalize,
        smooth=args.smooth,
        clamp_weights=args.clamp_weights,
        rounding=args.rounding,
        iterations=args.iterations,
        bias_correction=args.bias_correction,
    )
    work = Path(args.output) / WORK
    kept = [work] if args.checkpoint is None else [work, Path(args.checkpoint)]
    with processes() as ours, whole_folder(Path(args.output), ours.rank) as folder, _resumable(kept):
        summary = quantize_job(
            lambda: load_graph(args, args.model),
            args.data,
            folder,
            target=args.target,
            samples=args.samples,
            input_range=parse_range(args.input_range),
            eval_data=args.eval,
            eval_limit=args.eval_limit,
            metric=args.metric,
            recipe=recipe,
            checkpoint=Path(args.checkpoint) if args.checkpoint else None,
            max_drop=args.max_drop,
            work=work,
            source=Path(args.model) if Path(args.model).exists() else None,
            show=None if args.json or ours.rank != 0 else sys.stdout,
            stage=_stage(args),
            processes=ours,
        )
    if ours.rank != 0:
        return 0
    shutil.rmtree(work, ignore_errors=True)  # nothing is left to go on with
    if args.json:
        print(json.dumps(summary))
    else:
        names = sorted(p.name for p in Path(args.output).iterdir() if not p.name.startswith("."))
        print(f"written to {args.output}: {', '.join(names)}")
    return 0


def _stage(args: argparse.Namespace) -> TrainingStage | None:
    """Training as the last stage of the search for a recipe, where there are data for it."""
    from intaglio.search.training import stage_settings
    from intaglio.workflow.quantize import TrainingStage

    if args.train is None:
        return None
    settings = stage_settings(args.train_epochs, args.train_steps)
    return TrainingStage(lambda: load_raw_graph(args, args.model), args.train, settings)


@contextmanager
def _resumable(kept: Sequence[Path]) -> Iterator[None]:
    """Say so where an interrupted run has left something to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        if any(path.exists() for path in kept):
            raise KeyboardInterrupt("the same command goes on where it was") from None
        raise
