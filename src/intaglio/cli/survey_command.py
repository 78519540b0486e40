"""`intaglio survey`: measure every quantization scheme with every method."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.cli.metric_option import add_metric, chosen_metric
from intaglio.cli.models import MODEL, add_model_options, load_graph, parse_range
from intaglio.cli.output import whole_folder
from intaglio.cli.picture_options import add_picture_options, described
from intaglio.report.terminal_tables import print_table
from intaglio.tables import text_table

if TYPE_CHECKING:
    from intaglio.data import Dataset
    from intaglio.graph import Graph
    from intaglio.quantized import Quantized
    from intaglio.search.survey import Make, Survey, SurveyRow
    from intaglio.targets import Target

STATE = "survey.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--data", required=True, help="calibration data")
    parser.add_argument(
        "--eval", required=True, metavar="DATA", help="labelled data on which every integer program is measured"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results; an interrupted "
                        "survey with the same settings resumes from there")  # fmt: skip
    parser.add_argument(
        "--samples", type=int, default=512, help="calibrate on at most this many samples (default: %(default)s)"
    )
    parser.add_argument(
        "--input-range",
        metavar="LOW,HIGH",
        help="range of the inputs after preprocessing, for rows without data (default: estimated from batch norms)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="use at most this many samples of --eval")
    add_metric(parser)
    parser.add_argument(
        "--calibrator", default="auto", help="how ranges are chosen, see `intaglio quantize` (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_picture_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every cell, write the tables, and print the result."""
    from intaglio.evaluation.model_stages import data_for
    from intaglio.files import data_fingerprint
    from intaglio.search.survey import survey
    from intaglio.search.survey_files import COLUMNS, cells_of, grid, to_csv, to_html

    target = Path(args.output)
    with whole_folder(target) as folder:
        graph = load_graph(args, args.model)
        metric = chosen_metric(args)
        data, test = described(args, args.data, args.eval)
        scored = data_for(graph, test, args.limit, labels=True, metric=metric)
        data = data_for(graph, data, args.samples)
        settings = {
            "calibration data": data_fingerprint(data),
            "calibrator": args.calibrator,
            "input range": args.input_range,
        }
        found = survey(
            graph,
            scored,
            _maker(args, graph, data),
            metric=metric,
            settings=settings,
            path=target / STATE,
            callback=None if args.json else _tell,
        )
        texts = [cells_of(found, row) for row in found.rows]
        (folder / "survey.txt").write_text(_text(found, COLUMNS, texts, *grid(found)), encoding="utf-8")
        (folder / "survey.csv").write_text(to_csv(found), encoding="utf-8")
        page = to_html(found)
        if page is not None:
            (folder / "survey.html").write_text(page, encoding="utf-8")
    if args.json:
        print(json.dumps(_facts(found)))
        return 0
    print_table(_title(found), *grid(found))
    _say_why(found)
    if page is None:
        print("no plot: it needs the package plotly; pip install 'intaglio[quantize]'", file=sys.stderr)
    print(f"written to {target}: {', '.join(sorted(p.name for p in target.iterdir() if not p.name.startswith('.')))}")
    return 0


def _maker(args: argparse.Namespace, graph: Graph, data: Dataset) -> Make:
    """Return the function that quantizes a cell; synthesized inputs are generated once and reused."""
    from intaglio.api import calibration_data, quantize_as
    from intaglio.ptq.recipe import Recipe
    from intaglio.search.survey import CALIBRATION

    stated = parse_range(args.input_range)
    sources: dict[str, Any] = {CALIBRATION: data}

    def make(target: Target, source: str, recover: bool) -> Quantized:
        if source not in sources:
            sources[source] = calibration_data(graph, source, args.samples, input_range=stated)
        recipe = Recipe(calibrator=args.calibrator)
        return quantize_as(graph, sources[source], target, recipe if recover else recipe.without_recovery())

    return make


def _tell(row: SurveyRow) -> None:
    score = "no result" if row.score is None else f"{row.score:.2f}"
    print(f"{row.cell.name}: {score} ({row.seconds:.1f} s)", file=sys.stderr)


def _title(found: Survey) -> str:
    error = f" +- {found.standard_error:.2f}" if found.metric.startswith("top") else ""
    return (
        f"{found.network}: {found.metric} (loss) of integer programs on {found.samples} samples; "
        f"float {found.reference:.2f}{error}"
    )


def _text(found: Survey, columns: Any, texts: list[list[str]], headings: list[str], lines: list[list[str]]) -> str:
    """Format both tables: the grid, and one line for each cell."""
    small = text_table(_title(found), headings, lines, [False] + [True] * (len(headings) - 1))
    numeric = [name in ("score", "loss", "agreement %", "seconds") for name in columns]
    return f"{small}\n\n{text_table('', columns, texts, numeric)}\n"


def _say_why(found: Survey) -> None:
    """Print the reason of each cell without a result; cells with the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for row in found.rows:
        if row.error:
            reasons.setdefault(row.error.splitlines()[0], []).append(row.cell.name)
    for reason, names in reasons.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"{names[0]}{more}: {reason}")


def _facts(found: Survey) -> dict[str, Any]:
    rows = [
        {
            "scheme": row.cell.scheme.value,
            "per": row.cell.per,
            "data": row.cell.source,
            "recovery": row.cell.recover,
            "score": row.score,
            "loss": found.loss(row),
            "agreement": row.agreement,
            "seconds": round(row.seconds, 3),
            "error": row.error,
        }
        for row in found.rows
    ]
    return {
        "network": found.network,
        "metric": found.metric,
        "float": found.reference,
        "samples": found.samples,
        "rows": rows,
    }
