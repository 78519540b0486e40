"""`intaglio quantize`: the main job."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from intaglio.cli.models import MODEL, add_model_options, load_graph, parse_layers
from intaglio.cli.output import whole_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--data", required=True, help="calibration data: .toml descriptor, folder of images or .npy, .parquet, .npz"
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
        action=argparse.BooleanOptionalAction,
        default=True,
        help="cut constant channels and scale channels across layers where that measures better (default: on)",
    )
    parser.add_argument("--no-bias-correction", action="store_true", help="leave the biases as they are")
    parser.add_argument(
        "--adaround", action="store_true", help="learn which weights to round down and which up; takes minutes"
    )
    parser.add_argument(
        "--adaround-iterations", type=int, default=1000, metavar="N", help="steps per layer (default: %(default)s)"
    )
    parser.add_argument(
        "--adaround-checkpoint",
        metavar="FILE",
        help="written after each layer; an interrupted run started again with it goes on there",
    )
    parser.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Quantize, lower, measure, write."""
    from intaglio.job import quantize_job

    with whole_folder(Path(args.output)) as folder:
        summary = quantize_job(
            lambda: load_graph(args, args.model),
            args.data,
            folder,
            target=args.target,
            samples=args.samples,
            eval_data=args.eval,
            eval_limit=args.eval_limit,
            metric=args.metric,
            calibrator=args.calibrator,
            weight_calibrator=args.weight_calibrator,
            layers=parse_layers(args.layer),
            equalize=args.equalize,
            bias_correction=not args.no_bias_correction,
            adaround=args.adaround,
            adaround_iterations=args.adaround_iterations,
            adaround_checkpoint=Path(args.adaround_checkpoint) if args.adaround_checkpoint else None,
            source=Path(args.model) if Path(args.model).exists() else None,
            show=None if args.json else sys.stdout,
        )
    if args.json:
        print(json.dumps(summary))
    else:
        names = sorted(p.name for p in Path(args.output).iterdir() if not p.name.startswith("."))
        print(f"written to {args.output}: {', '.join(names)}")
    return 0
