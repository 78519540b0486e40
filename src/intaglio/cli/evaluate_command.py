"""`intaglio evaluate`: measure the accuracy of a model or program."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.cli.end_options import add_end_options, parse_ends, with_ends
from intaglio.cli.endings import ACCEPTABLE
from intaglio.cli.metric_option import add_metric, chosen_metric
from intaglio.cli.models import MODEL, add_model_options, load_any_or_quantized
from intaglio.cli.picture_options import add_picture_options, described, picture_words, print_note
from intaglio.files.reading import UnreadableError, check_types, read_json, readable
from intaglio.report.terminal_text import command, next_steps

if TYPE_CHECKING:
    from intaglio.evaluation.evaluate import Score
    from intaglio.processes import Processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help=MODEL + "; a quantized ONNX file (QDQ or QOperator) is simulated")
    parser.add_argument("--data", required=True, help="labelled data to measure on")
    add_metric(parser, "metric")
    parser.add_argument(
        "--engine",
        choices=["float", "simulate", "reference", "native"],
        help="what runs the model: float network, simulation, interpreter, or compiled C (default: by kind of model)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="measure on at most this many samples")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_end_options(
        parser,
        "run as a stream: INPUT takes what OUTPUT gave at the step before; --data without INPUT are the steps of one "
        "stream, or sequences of steps (a program that declares states needs no option; may be repeated)",
    )
    add_picture_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Load the model, measure it, and print the result."""
    from intaglio.data import open_data
    from intaglio.evaluation.model_stages import score

    metric = chosen_metric(args)
    with _processes() as ours:
        model, states = with_ends(load_any_or_quantized(args, args.model), parse_ends(args))
        data = open_data(described(args, args.data)[0], pair=True)
        result = score(
            model,
            data,
            metric,
            engine=args.engine,
            limit=args.limit,
            processes=ours,
            states=states,
        )
    if ours is not None and ours.rank != 0:
        return 0
    if args.json:
        print(json.dumps(result.to_json()))
    else:
        print(f"{result.metric} {result.shown} on {result.samples} samples ({result.engine})")
        print_note(data)
        steps = _next(args, result)
        if steps:
            print(next_steps(steps))
    return 0


def _next(args: argparse.Namespace, result: Score) -> list[tuple[str, str]]:
    """Suggest a comparison with the float network where the summary beside the file says that accuracy fell."""
    summary = Path(args.model).parent / "summary.json"
    if result.engine == "float" or not result.metric.startswith("top") or not summary.is_file():
        return []
    try:
        with readable():
            real = read_json(summary)["float"]
            check_types(real, {"metric": str, "value": (int, float)})
    except UnreadableError:  # it has no float score, or is not ours
        return []
    if real["metric"] != result.metric or real["value"] - result.value <= ACCEPTABLE:
        return []
    words = ("compare", "FLOAT", args.model, "--data", args.data, *picture_words(args))
    return [(command("intaglio", *words), f"FLOAT: the float network, {real['value']:.2f} %; which layers differ")]


def _processes() -> AbstractContextManager[Processes | None]:
    """Join the processes that torchrun started; without torchrun import nothing, as a core install has no PyTorch."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return nullcontext()
    from intaglio.processes import processes

    return processes()
