"""Surveys of several networks: a row for each network, whatever happens to others; formats and methods as columns."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from intaglio.cli import main
from intaglio.errors import DataError, UsageError
from intaglio.evaluation import ProgramStage
from intaglio.search import survey as survey_module
from intaglio.search.survey import Survey, SurveyRow
from intaglio.search.survey_columns import DEFAULT, DEFAULT_TRAINED, METHODS, format_of, parse_columns
from intaglio.search.survey_page import table_page
from intaglio.search.survey_table import NetworkRow, SurveyTable, survey_networks
from intaglio.search.survey_table_files import MEAN, cells_of, lines_of, to_csv, to_json, to_markdown, to_text
from intaglio.targets import load_target
from intaglio.workflow import survey_job as job
from intaglio.workflow.network_list import read_network_list

COLUMNS = parse_columns("cpu-int8,cpu-int8+recovery,w4a8+gptq", trained=False)


def measured(*scores: float | None, reference: float = 80.0, metric: str = "top1") -> Survey:
    rows = [
        SurveyRow(column, score, score, 1.0, "" if score is not None else "why|not\nsecond line")
        for column, score in zip(COLUMNS, scores, strict=True)
    ]
    return Survey("net.onnx", metric, reference, 400, tuple(rows))


def table(*surveys: Survey | None) -> SurveyTable:
    names = [f"net {i}" for i in range(len(surveys))]
    return SurveyTable(
        COLUMNS,
        tuple(
            NetworkRow(name, found, "" if found else "no such file") for name, found in zip(names, surveys, strict=True)
        ),
    )


def test_columns_are_targets_with_methods() -> None:
    assert [c.name for c in COLUMNS] == ["cpu-int8", "cpu-int8+recovery", "w4a8+gptq"]
    assert [c.recipe("max").rounding for c in COLUMNS] == ["nearest", "nearest", "gptq"]
    assert [c.recipe("max").recovers for c in COLUMNS] == [False, True, True]
    assert {c.name for c in parse_columns(None, trained=False)} == set(DEFAULT)
    trained = parse_columns(None, trained=True)
    assert {c.name for c in trained} == {*DEFAULT, *DEFAULT_TRAINED}
    assert [c.target.name for c in trained] == sorted((c.target.name for c in trained), key=_first_places(trained))
    for method in filter(None, METHODS):
        (column,) = parse_columns(f"w4a8+{method}", trained=True)
        column.recipe("max")
    assert format_of(load_target("cpu-int8")) == "INT8 per channel"
    assert format_of(load_target("w4a4")) == "W4A4 per channel"
    assert format_of(load_target("int16x8")) == "W8A16 per channel"
    assert format_of(load_target("power2-int8")) == "INT8 per tensor, scales are powers of two"


def _first_places(columns):
    names = [c.target.name for c in columns]
    return names.index


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cpu-int8+magic", "expected TARGET or TARGET\\+METHOD with a method of equalization"),
        ("cpu-int8+", "got 'cpu-int8\\+'"),
        (",", "such as cpu-int8\\+recovery, got none"),
        ("cpu-int8,w4a8,cpu-int8", "got cpu-int8 again"),
    ],
)
def test_wrong_columns_are_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_columns(text, trained=False)


def test_a_network_that_fails_does_not_lose_the_others() -> None:
    def fails() -> Survey:
        raise DataError("test.npz: no labels")

    def breaks() -> Survey:
        raise ZeroDivisionError("a bug")

    told: list[NetworkRow] = []
    good = measured(79.5, 80.0, None)
    found = survey_networks([("a", fails), ("b", lambda: good), ("c", breaks)], COLUMNS, told.append)
    assert [row.name for row in found.rows] == ["a", "b", "c"]
    assert told == list(found.rows)
    assert [row.error for row in found.rows] == ["test.npz: no labels", "", "ZeroDivisionError: a bug"]
    assert found.failures() == [
        ("a", "test.npz: no labels"),
        ("b, w4a8+gptq", "why|not\nsecond line"),
        ("c", "ZeroDivisionError: a bug"),
    ]

    def stopped() -> Survey:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey_networks([("a", stopped)], COLUMNS)


def test_text_has_scores_changes_and_means() -> None:
    found = table(measured(79.5, 80.0, 77.0), measured(59.25, 61.0, 55.0, reference=60.0))
    assert cells_of(found, found.rows[0], COLUMNS) == [
        "net 0", "400", "80.00 ±2.00", "79.50 (-0.50)", "80.00 (0.00)", "77.00 (-3.00)",
    ]  # fmt: skip
    assert lines_of(found, COLUMNS)[-1] == [MEAN, "", "", "-0.62", "+0.50", "-4.00"]
    assert "+gptq: recovery, with weights rounded by GPTQ" in to_text(found)
    for other in (table(measured(79.5, 80.0, None)), table(measured(79.5, 80.0, 77.0), None)):
        assert all(line[0] != MEAN for line in lines_of(other, COLUMNS))
    mixed = table(measured(79.5, 80.0, 77.0), measured(0.5, 0.5, 0.6, reference=0.5, metric="mse"))
    assert all(line[0] != MEAN for line in lines_of(mixed, COLUMNS))
    assert cells_of(mixed, mixed.rows[1], COLUMNS)[2] == "0.50"


def test_markdown_csv_and_json_hold_everything() -> None:
    found = table(measured(79.5, 80.0 + 1 / 7, None), None)
    lines = to_markdown(found).splitlines()
    assert lines[2] == "| network | samples | float | cpu-int8 | cpu-int8+recovery | w4a8+gptq |"
    assert lines[4] == "| net 0 | 400 | 80.00 ±2.00 | 79.50 (-0.50) | 80.14 (+0.14) | - |"
    assert "- net 0, w4a8+gptq: why\\|not" in lines
    assert "- net 1: no such file" in lines
    read = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert float(read[0]["cpu-int8+recovery"]) == 80.0 + 1 / 7
    assert float(read[0]["cpu-int8+recovery loss"]) == 80.0 - (80.0 + 1 / 7)
    assert read[0]["w4a8+gptq"] == ""
    assert read[0]["note"] == "w4a8+gptq: why|not\nsecond line"
    assert read[1]["note"] == "no such file"
    facts = json.loads(json.dumps(to_json(found)))
    assert [row["score"] for row in facts["networks"][0]["results"]] == [79.5, 80.0 + 1 / 7, None]
    assert facts["networks"][1] == {
        "name": "net 1", "error": "no such file", "metric": None, "samples": None, "float": None, "results": [],
    }  # fmt: skip


def test_the_page_shows_rows_reasons_and_no_markup_of_names() -> None:
    found = table(measured(79.75, 79.0, 77.0), None)
    hostile = SurveyTable(found.columns, (*found.rows, NetworkRow("<b onclick=x>", None, "<script>alert(1)</script>")))
    page = table_page(hostile)
    assert "&lt;b onclick=x&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    for text in ('<td data-label="INT8 per channel, plain" class="good">79.75', 'class="bad">77.00', "no such file"):
        assert text in page
    assert "\N{MINUS SIGN}1.00" in page
    assert 'name="viewport" content="width=device-width' in page


@pytest.fixture
def files(graph, x, labels, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(survey_module, "integer_stage", ProgramStage)  # the same integers, and no compiler to wait for
    monkeypatch.chdir(tmp_path)
    graph.save(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=x, y=labels)
    np.savez(tmp_path / "train.npz", x=x, y=labels)
    (tmp_path / "nets.toml").write_text(
        'data = "data.npz"\neval = "data.npz"\n[[network]]\nmodel = "missing.onnx"\n'
        '[[network]]\nmodel = "net.onnx"\ntrain = "train.npz"\n'
        '[[network]]\nname = "again"\nmodel = "net.onnx"\n'
    )
    return tmp_path


def test_the_command_writes_a_table_and_resumes(files, capsys, monkeypatch) -> None:
    argv = ["survey", "nets.toml", "-o", "out", "--calibrator", "max", "--columns", "cpu-int8,w4a8+retraining"]
    argv += ["--train-steps", "2"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert "missing: not measured: missing.onnx" in err
    assert re.search(r"net: retraining: batch of (\d+) instead of 128, as there are only \1 training samples", err)
    assert "no result of again, w4a8+retraining: no training data: give --train" in out
    names = sorted(p.name for p in Path("out").iterdir() if not p.name.startswith("."))
    assert names == ["survey.csv", "survey.html", "survey.json", "survey.md", "survey.txt"]
    first = json.loads(Path("out/survey.json").read_text())
    assert [n["name"] for n in first["networks"]] == ["missing", "net", "again"]
    assert [r["error"] == "" for n in first["networks"] for r in n["results"]] == [True, True, True, False]
    assert not list(Path("out").rglob("training.pt"))

    def unexpected(*args: object, **more: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(job, "quantize_as", unexpected)
    assert main([*argv[:-4], "--columns", "cpu-int8", "--train-steps", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    again = json.loads(out)
    assert [r["score"] for n in again["networks"] for r in n["results"]] == [
        r["score"] for n in first["networks"] for r in n["results"] if r["column"] == "cpu-int8"
    ]


def test_several_models_share_the_data(files, capsys) -> None:
    Path("other").mkdir()
    Path("other/net.onnx").write_bytes(Path("net.onnx").read_bytes())
    argv = ["survey", "net.onnx", "other/net.onnx", "--data", "data.npz", "--eval", "data.npz", "-o", "out"]
    assert main([*argv, "--calibrator", "max", "--columns", "cpu-int8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:5]] == ["net.onnx", "other/net.onnx"]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["net.onnx"], "expected --data, got none"),
        (["net.onnx", "net.onnx", "--data", "data.npz", "--eval", "data.npz"], "expected each model once"),
        (["net.onnx", "nets.toml"], "expected models or one .toml list"),
        (["none.toml"], "none.toml: expected a TOML list of networks"),
        (["a.onnx", "b.onnx", "--data", "data.npz", "--eval", "data.npz"], "no network could be measured; a: a.onnx"),
    ],
)
def test_wrong_arguments_are_one_line(files, argv, reason, capsys) -> None:
    assert main(["survey", *argv, "-o", "out"]) == 1
    err = capsys.readouterr().err.strip().splitlines()
    assert err[-1].startswith("error: ")
    assert reason in err[-1]
    assert not Path("out/survey.html").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[network]]\nmodel = 3", "network 1.model: expected a text, got 3"),
        ('[[network]]\nmodell = "a.onnx"', "network 1.modell: unknown key; known are"),
        ('[[network]]\nmodell = "a.onnx"', "did you mean model?"),
        (
            '[[networks]]\nmodel = "a.onnx"',
            "networks: unknown key; known are data, eval, metric, network, train; did you",
        ),
        (
            '[network]\nmodel = "a.onnx"',
            "network: expected a table [[network]] with a `model` for each network, got [net",
        ),
        ('data = "a.npz"', "network: expected a table [[network]] with a `model` for each network, got none"),
        (
            '[[network]]\nname = "a"',
            "network 1.model: expected a table [[network]] with a `model` for each network, got",
        ),
        ('[[network]]\nmodel = "a.onnx"\nlimit = 3', "network 1.limit: unknown key; known are constant"),
        ('[[network]]\nmodel = "a.onnx"\neval = "e.npz"', "network a: expected a key `data`"),
        ("network = []", "network: "),
        (
            'data = "d.npz"\neval = "e.npz"\n[[network]]\nmodel = "a.onnx"\n[[network]]\nmodel = "b/a.onnx"',
            "expected unique names, got 'a' more than once",
        ),
    ],
)
def test_wrong_lists_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "nets.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_network_list(path, {})
    assert reason in str(error.value)
    assert str(error.value).startswith(str(path))


def test_a_list_has_paths_of_its_own_folder_and_data_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "nets.toml"
    path.write_text(
        'eval = "e.toml"\n[[network]]\nmodel = "a.onnx"\ndata = "a.npz"\n'
        '[[network]]\nmodel = "nets:make"\nweights = "w.pt"\nmetric = "mse"\n'
    )
    a, b = read_network_list(path, {"data": "mine.npz", "metric": "top5", "train": "t.npz"})
    assert (a.model, a.data, a.eval, a.train, a.metric, a.title) == (
        str(tmp_path / "a.onnx"), str(tmp_path / "a.npz"), str(tmp_path / "e.toml"), "t.npz", "top5", "a",
    )  # fmt: skip
    assert (b.model, b.data, b.weights, b.metric, b.title) == (
        "nets:make", "mine.npz", str(tmp_path / "w.pt"), "mse", "nets",
    )  # fmt: skip
