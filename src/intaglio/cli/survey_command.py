"""`intaglio survey`: measure networks in many number formats, with many methods."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.cli.beside import only_beside
from intaglio.cli.endings import written
from intaglio.cli.foreign_files import refuse_foreign
from intaglio.cli.metric_option import add_metric, chosen_metric
from intaglio.cli.models import MODEL, add_model_options, load_graph, load_raw_graph, parse_range
from intaglio.cli.output import whole_folder
from intaglio.cli.picture_options import add_picture_options, described
from intaglio.cli.survey_output import (
    grid_facts,
    grid_text,
    grid_title,
    say_why,
    show_table,
    tell_cell,
    tell_network,
    tell_note,
)
from intaglio.errors import UsageError
from intaglio.report.terminal_tables import print_wide_table
from intaglio.report.terminal_text import folded

if TYPE_CHECKING:
    from intaglio.workflow.network_list import ListedNetwork
    from intaglio.workflow.survey_job import SurveyedNetwork, SurveySettings

_MARKS = {"survey.json": rb'"intaglio-attempts"|^\{\s*"columns"'}  # of one network, and of several
WORK = ".survey"
"""Subfolder of the output folder that keeps results of several networks, and checkpoints of retraining."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "model",
        nargs="+",
        help=f"{MODEL}; several of them, or a .toml list of networks with their data, make a table with a row for each",
    )
    parser.add_argument("--data", help="calibration data; required unless a list of networks names them")
    parser.add_argument(
        "--eval", metavar="DATA", help="labelled data on which every integer program is measured; required as --data"
    )
    parser.add_argument("--train", metavar="DATA", help="labelled training data: adds columns of retrained networks")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results; an interrupted "
                        "survey with the same settings resumes from there")  # fmt: skip
    parser.add_argument(
        "--columns",
        metavar="TARGET[+METHOD],...",
        help="columns of the table of networks: targets, each with a method of equalization, bias-correction, recovery "
        "(both), gptq, adaround, blocks or retraining (default: int8-per-tensor and cpu-int8, plain and with recovery, "
        "w4a8+gptq; with --train also retrained, and w4a4)",
    )
    parser.add_argument(
        "--samples", type=int, default=512, help="calibrate on at most this many samples (default: %(default)s)"
    )
    parser.add_argument(
        "--input-range",
        metavar="LOW,HIGH",
        help="range of the inputs after preprocessing, for cells without data (default: estimated from batch norms)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="use at most this many samples of --eval")
    parser.add_argument("--train-epochs", type=float, metavar="N", help="epochs of retraining (default: 2)")
    parser.add_argument("--train-steps", type=int, metavar="N", help="optimizer steps of retraining, instead of epochs")
    add_metric(parser)
    parser.add_argument(
        "--calibrator", default="auto", help="how ranges are chosen, see `intaglio quantize` (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    add_picture_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, write the tables, and print the result."""
    from intaglio.ptq.recipe import Recipe
    from intaglio.search.training import stage_settings
    from intaglio.workflow.survey_job import SurveySettings

    Recipe(calibrator=args.calibrator)  # an unknown one would fail in every cell
    settings = SurveySettings(
        samples=args.samples,
        limit=args.limit,
        calibrator=args.calibrator,
        input_range=parse_range(args.input_range),
        training=stage_settings(args.train_epochs, args.train_steps),
    )
    networks = list(_networks(args))
    several = len(args.model) > 1 or _is_list(args.model[0])
    job = _table if several or args.columns is not None else _grid
    trained = any(network.train is not None for network in networks)
    only_beside(args, "--train DATA", ("train_epochs", "train_steps"), given=trained)
    only_beside(args, "one network without --columns", ("input_range",), given=job is _grid)
    names = ("survey.txt", "survey.csv", "survey.html", *(("survey.md", "survey.json") if job is _table else ()))
    refuse_foreign(Path(args.output), names, _MARKS)
    with whole_folder(Path(args.output)) as folder, _resumable(Path(args.output)):
        report, facts = job(args, networks, settings, folder)
    if args.json:
        print(json.dumps(facts))
        return 0
    report()
    print(written(Path(args.output)))
    print(folded(f"page: open {Path(args.output) / 'survey.html'} in a browser, also on a phone"))
    return 0


def _networks(args: argparse.Namespace) -> Iterator[SurveyedNetwork]:
    """Read the arguments; a list of networks brings data of its own."""
    if _is_list(args.model[0]) and len(args.model) == 1:
        from intaglio.workflow.network_list import read_network_list

        for listed in read_network_list(Path(args.model[0]), {"data": args.data, "eval": args.eval,
                                                              "train": args.train, "metric": args.metric}):  # fmt: skip
            yield _listed(args, listed)
        return
    if any(map(_is_list, args.model)):
        raise UsageError(f"survey: expected models or one .toml list of networks, got {', '.join(args.model)}")
    for option, value in (("--data", args.data), ("--eval", args.eval)):
        if value is None:
            raise UsageError(f"survey: expected {option}, got none; give it, or a .toml list that names the data")
    names = _unique_names(args.model)
    for name, model in zip(names, args.model, strict=True):
        yield _network(args, model, name)


def _unique_names(models: Sequence[str]) -> list[str]:
    """Name models by their files without suffix, or with folders where these are equal."""
    short = [Path(model).stem for model in models]
    names = [model if short.count(name) > 1 else name for name, model in zip(short, models, strict=True)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"survey: expected each model once, got {twice} again")
    return names


def _is_list(model: str) -> bool:
    return Path(model).suffix.lower() == ".toml"


def _listed(args: argparse.Namespace, listed: ListedNetwork) -> SurveyedNetwork:
    own = {
        "data": listed.data,
        "eval": listed.eval,
        "train": listed.train,
        "metric": listed.metric,
        "shape": listed.shape or args.shape,
        "constant": listed.constant or args.constant,
        "weights": listed.weights or args.weights,
        "example_shape": listed.example_shape or args.example_shape,
    }
    return _network(argparse.Namespace(**{**vars(args), **own}), listed.model, listed.title)


def _network(args: argparse.Namespace, model: str, name: str) -> SurveyedNetwork:
    from intaglio.workflow.survey_job import SurveyedNetwork

    data, test, train = described(args, args.data, args.eval, args.train)
    return SurveyedNetwork(
        name,
        partial(load_graph, args, model),
        partial(load_raw_graph, args, model),
        data,
        test,
        train,
        chosen_metric(args),
    )


@contextmanager
def _resumable(target: Path) -> Iterator[None]:
    """On Ctrl-C, tell the user that the same command resumes the survey."""
    try:
        yield
    except KeyboardInterrupt:
        if any((target / name).exists() for name in (WORK, "survey.json")):
            raise KeyboardInterrupt("the same command resumes where it stopped") from None
        raise


def _grid(
    args: argparse.Namespace, networks: Sequence[SurveyedNetwork], settings: SurveySettings, folder: Path
) -> tuple[Any, dict[str, Any]]:
    """Measure every type with every method on one network; return what prints the result, and its facts."""
    from intaglio.search.survey import CELLS, RETRAINED
    from intaglio.search.survey_files import COLUMNS, cells_of, grid, to_csv
    from intaglio.search.survey_page import survey_page
    from intaglio.workflow.survey_job import STATE, survey_job

    target = Path(args.output)
    found = survey_job(
        networks[0],
        (*CELLS, *(RETRAINED if args.train is not None else ())),
        settings,
        target / WORK,
        state=target / STATE,
        callback=None if args.json else tell_cell,
        tell=None if args.json else tell_note,
    )
    texts = [cells_of(found, row) for row in found.rows]
    (folder / "survey.txt").write_text(grid_text(found, COLUMNS, texts, *grid(found)), encoding="utf-8")
    (folder / "survey.csv").write_text(to_csv(found), encoding="utf-8")
    (folder / "survey.html").write_text(survey_page(found), encoding="utf-8")

    def show() -> None:
        print_wide_table(grid_title(found), *grid(found))
        print(folded("In brackets: the change against float. Types: scales of activations and weights."))
        say_why([(row.cell.name, row.error) for row in found.rows if row.error])

    return show, grid_facts(found)


def _table(
    args: argparse.Namespace, networks: Sequence[SurveyedNetwork], settings: SurveySettings, folder: Path
) -> tuple[Any, dict[str, Any]]:
    """Measure several networks; return what prints the result, and its facts."""
    from intaglio.search.survey_columns import parse_columns
    from intaglio.search.survey_page import table_page
    from intaglio.search.survey_table import survey_networks
    from intaglio.search.survey_table_files import to_csv, to_json, to_markdown, to_text
    from intaglio.workflow.survey_job import survey_job

    columns = parse_columns(args.columns, trained=any(network.train is not None for network in networks))
    tell, note = (None, None) if args.json else (tell_cell, tell_note)
    table = survey_networks(
        [
            (n.name, partial(survey_job, n, columns, settings, Path(args.output) / WORK, callback=tell, tell=note))
            for n in networks
        ],
        columns,
        None if args.json else tell_network,
    )
    if all(row.survey is None for row in table.rows):
        raise UsageError(f"survey: no network could be measured; {table.rows[0].name}: {table.rows[0].error}")
    (folder / "survey.txt").write_text(to_text(table), encoding="utf-8")
    (folder / "survey.md").write_text(to_markdown(table), encoding="utf-8")
    (folder / "survey.csv").write_text(to_csv(table), encoding="utf-8")
    (folder / "survey.html").write_text(table_page(table), encoding="utf-8")
    (folder / "survey.json").write_text(json.dumps(to_json(table), indent=1) + "\n", encoding="utf-8")
    return partial(show_table, table), to_json(table)
