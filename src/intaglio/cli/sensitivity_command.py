"""`intaglio sensitivity`: rank layers by the accuracy that quantizing them costs."""

from __future__ import annotations

import argparse
import glob
import json
import sys
from pathlib import Path
from typing import Any

from intaglio.cli.metric_option import add_metric, chosen_metric
from intaglio.cli.models import MODEL, add_model_options, load_graph
from intaglio.cli.on_off import OnOff
from intaglio.cli.picture_options import add_picture_options, described, print_note
from intaglio.report.terminal_tables import print_table
from intaglio.report.terminal_text import SQNR, command, folded, next_steps
from intaglio.targets import load_target

COLUMNS = (
    "alone: SQNR of the output if only this layer is quantized; without: if all layers but this one are. Layers are "
    "ranked by both."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--data", required=True, help="inputs: some for calibration, others (held back) on which outputs are compared"
    )
    parser.add_argument(
        "--target", default="cpu-int8", help="hardware target: built-in name or TOML file (default: %(default)s)"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE.json", help="file for the results, written "
                        "after each group of layers; results of the same network, Plan and data are "
                        "reused")  # fmt: skip
    parser.add_argument(
        "--samples", type=int, default=512, help="calibrate on at most this many samples (default: %(default)s)"
    )
    parser.add_argument(
        "--held-back",
        type=int,
        metavar="N",
        help="compare outputs on this many other samples, evenly spread (default: 64, at most a quarter of few data)",
    )
    parser.add_argument("--eval", metavar="DATA", help="labelled data: also measure --metric, and rank by it")
    parser.add_argument(
        "--limit", type=int, default=500, metavar="N", help="use at most N samples of --eval (default: %(default)s)"
    )
    add_metric(parser)
    parser.add_argument(
        "--calibrator", default="auto", help="how ranges are chosen, see `intaglio quantize` (default: %(default)s)"
    )
    parser.add_argument(
        "--equalize", action=OnOff, default=True, help="equalize channel ranges before calibration (default: on)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_picture_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Quantize on rank 0, measure layers on every rank, print on rank 0."""
    from intaglio.evaluation.held_back import ArraySamples
    from intaglio.evaluation.model_stages import data_for
    from intaglio.processes import processes
    from intaglio.search import held_back, sensitivity
    from intaglio.search.sensitivity_table import SENSITIVITIES

    SENSITIVITIES.check_writable(Path(args.output))
    with processes() as ours:
        graph = load_graph(args, args.model)
        metric = chosen_metric(args)
        data, test = described(args, args.data, args.eval)
        scored = None if test is None else data_for(graph, test, args.limit, labels=True, metric=metric)
        data = data_for(graph, data)
        fitted, held = held_back(data, args.samples, args.held_back)
        serialized = ours.first(lambda: _quantized(args, graph, fitted))
        found = sensitivity(
            *_unpacked(serialized),
            ArraySamples(held),
            evaluation=scored,
            metric=metric,
            path=args.output,
            processes=ours,
        )
    if ours.rank == 0:
        _show(args, found, data)
    return 0


def _quantized(args: argparse.Namespace, graph: Any, data: Any) -> tuple[bytes, str]:
    """Quantize and serialize the graph and its Plan for other processes; weights and biases are not corrected."""
    import onnx_ir as ir

    from intaglio.api import quantize

    made = quantize(
        graph,
        data,
        args.target,
        samples=None,
        calibrator=args.calibrator,
        equalize=args.equalize,
        bias_correction=False,
    )
    return ir.to_proto(made.graph.model).SerializeToString(), made.plan.to_json()


def _unpacked(serialized: tuple[bytes, str]) -> tuple[Any, Any]:
    import onnx
    import onnx_ir as ir

    from intaglio.graph import Graph
    from intaglio.plan import Plan

    return Graph(ir.from_proto(onnx.ModelProto.FromString(serialized[0]))), Plan.from_json(serialized[1])


def _show(args: argparse.Namespace, found: Any, data: Any) -> None:
    by = "score" if found.metric else "sqnr"
    if args.json:
        print(json.dumps({**found.to_json(), "notes": found.notes, "ranking": [o.name for o in found.ranking(by)]}))
        return
    for note in found.notes:
        print(note, file=sys.stderr)
    columns = ["layer", "operator", "alone dB", "without dB"]
    columns += [f"alone {found.metric}", f"without {found.metric}"] if found.metric else []
    rows = []
    for layer in found.ranking(by):
        row = [layer.name, layer.op_type, f"{layer.alone.sqnr:.2f}", f"{layer.without.sqnr:.2f}"]
        rows.append(row + ([f"{layer.alone.score:.2f}", f"{layer.without.score:.2f}"] if found.metric else []))
    print_table(f"{found.network} on {found.target}: sensitivity, worst first", columns, rows)
    whole = f"all quantized: {found.quantized.sqnr:.2f} dB on {found.samples} samples"
    if found.metric:
        whole += f"; {found.metric} {found.quantized.score:.2f}, float {found.real:.2f} on {found.scored}"
    print(folded(f"{COLUMNS} {SQNR}"))
    print(whole)
    print_note(data)
    print(f"written to {args.output}")
    worst = found.ranking(by)[0].name
    layer = ("--layer", f"{glob.escape(worst)}=a16")
    words = ("quantize", args.model, "--data", args.data, "--target", args.target, *layer, "-o", "out")
    if any(fmt.type.bits == 16 for fmt in load_target(args.target).activations):
        print(next_steps([(command("intaglio", *words), "16 bits for the worst layer")]))
