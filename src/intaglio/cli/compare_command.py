"""`intaglio compare`: compare two models layer by layer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from intaglio.cli.models import MODEL, add_model_options, load_any_or_quantized
from intaglio.cli.picture_options import add_picture_options, described, print_note
from intaglio.data import open_data
from intaglio.report.terminal_text import SQNR, command, folded, next_steps
from intaglio.workflow.model_comparison import compare

COLUMNS = (
    "largest difference: as a real number; in steps: the same in units of the value's scale; equal %: elements that "
    "are the same."
)


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
    a, b = (load_any_or_quantized(args, name) for name in (args.a, args.b))
    data = open_data(described(args, args.data)[0], labels=False)
    found = compare(a, b, data, samples=args.samples)
    if args.json:
        print(json.dumps({"a": args.a, "b": args.b, **found.to_json()}))
    else:
        found.show(f"{args.a} against {args.b}")
        print(folded(f"{SQNR} {COLUMNS}"))
        print_note(data)
        if Path(args.a).suffix in (".onnx", ".tflite", ".keras", ".h5"):
            words = ("sensitivity", args.a, "--data", args.data, "-o", "sensitivity.json")
            print(next_steps([(command("intaglio", *words), "which layers cause the difference")]))
    return 0
