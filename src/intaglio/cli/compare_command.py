"""`intaglio compare`: compare two models layer by layer."""

from __future__ import annotations

import argparse
import json
import math

from intaglio.cli.models import MODEL, add_model_options, load_any_or_quantized
from intaglio.cli.picture_options import add_picture_options, described
from intaglio.evaluation import compare
from intaglio.report.terminal_tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("a", help="the reference model. " + MODEL)
    parser.add_argument("b", help="the model to compare with it; same forms")
    parser.add_argument("--data", required=True, help="input data; labels are not needed")
    parser.add_argument(
        "--samples", type=int, default=32, help="compare on at most this many samples (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_picture_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Load both models, compare their values, and print a table."""
    from intaglio.evaluation.model_stages import data_for, stage_of, steps_of

    a, b = (load_any_or_quantized(args, name) for name in (args.a, args.b))
    data = data_for(a, described(args, args.data)[0], args.samples)
    stages = stage_of(a), stage_of(b)
    if data.once:
        data = data.cached()
    layers = compare(*stages, data, steps_of(b), samples=args.samples)
    agreement = _agreement(stages, data)
    if args.json:
        print(
            json.dumps(
                {"a": args.a, "b": args.b, "agreement": agreement, "layers": [layer.to_json() for layer in layers]}
            )
        )
        return 0
    rows = [
        (
            layer.name,
            f"{layer.sqnr:.1f}" if math.isfinite(layer.sqnr) else "equal",
            f"{layer.largest:.4g}",
            "-" if layer.steps is None else f"{layer.steps:.1f}",
            f"{layer.equal:.1f}",
        )
        for layer in layers
    ]
    print_table(f"{args.a} against {args.b}", ("value", "SQNR dB", "largest difference", "in steps", "equal %"), rows)
    samples = args.samples if data.length is None else data.length
    print(f"largest output is the same on {agreement:.2f} % of {samples} samples")
    return 0


def _agreement(stages, data) -> float:  # type: ignore[no-untyped-def]
    from intaglio.evaluation.stage import inputs_of

    same = total = 0
    for x, _ in data.batches(32):
        best = [stage.run(*inputs_of(x))[0] for stage in stages]
        left, right = (y.reshape(len(y), -1).argmax(axis=1) for y in best)
        same, total = same + int((left == right).sum()), total + len(left)
    return 100.0 * same / total
