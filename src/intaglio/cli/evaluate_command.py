"""`intaglio evaluate`: accuracy of a model or program."""

from __future__ import annotations

import argparse
import json

from intaglio.cli.models import MODEL, add_model_options, load_any_or_quantized
from intaglio.measure import METRICS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", help=MODEL + "; an ONNX file with quantizers is simulated")
    parser.add_argument("--data", required=True, help="labelled data")
    parser.add_argument("--metric", choices=list(METRICS), default="top1", help="default: %(default)s")
    parser.add_argument(
        "--engine", choices=["float", "simulate", "reference", "native"], help="default: what fits the model"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most this many samples")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Load, measure, print."""
    from intaglio.measure.run import score

    result = score(
        load_any_or_quantized(args, args.model), args.data, args.metric, engine=args.engine, limit=args.limit
    )
    if args.json:
        print(json.dumps(result.to_json()))
    else:
        unit = " %" if result.metric.startswith("top") else ""
        print(f"{result.metric} {result.value:.2f}{unit} on {result.samples} samples ({result.engine})")
    return 0
