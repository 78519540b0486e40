"""The survey: every cell measured on the integer program, failures said, interruptions survived."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

import intaglio as ig
from intaglio.cli import main
from intaglio.errors import CalibrationError, DataError, UsageError
from intaglio.evaluation import FloatStage, ProgramStage
from intaglio.evaluation.model_stages import data_for
from intaglio.evaluation.model_stages import score as evaluate
from intaglio.number import Scheme
from intaglio.search import float_result
from intaglio.search import survey as module
from intaglio.search.survey import CALIBRATION, CELLS, NO_DATA, SYNTHESIZED, Cell, Survey, SurveyRow, survey, target_of
from intaglio.search.survey_files import COLUMNS, cells_of, grid, to_csv
from intaglio.search.survey_page import survey_page

FEW = tuple(cell for cell in CELLS if cell.scheme is not Scheme.SYMMETRIC and cell.per == "channel")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(module, "CELLS", FEW)
    monkeypatch.setattr(module, "integer_stage", ProgramStage)  # the same integers, and no compiler to wait for


def maker(graph, x, made=None):
    """Calibration works; no data cannot; synthesis breaks."""

    def make(cell):
        target, source, recover = cell.target, cell.source, cell.recover
        if made is not None:
            made.append((target.name, source, recover))
        if source == NO_DATA:
            raise CalibrationError("no batch norm: expected one\nor a range")
        if source == SYNTHESIZED:
            raise ZeroDivisionError("a bug")
        return ig.quantize(graph, x, target, calibrator="max", equalize=False, bias_correction=recover)

    return make


def test_there_is_a_cell_for_every_type_and_method_and_a_target_for_every_type():
    assert len({cell.name for cell in CELLS}) == len(CELLS) == 3 * 2 * 3 * 2
    for cell in CELLS:
        target = target_of(cell)
        assert {target.activations[0].scheme, target.weights[0].scheme} == {cell.scheme}
        assert target.weights[0].per == cell.per
        assert (target.rule.value == "shift") == (cell.scheme is Scheme.POWER_OF_TWO)
    assert len({target_of(cell).name for cell in CELLS}) == 6


def test_scores_are_those_of_the_integer_programs(graph, x, labels, few):
    scored = data_for(graph, (x, labels), labels=True)
    told = []
    found = survey(graph, scored, maker(graph, x), callback=told.append)
    assert found.reference == 100.0
    assert [row.cell for row in found.rows] == list(FEW)
    assert told == list(found.rows)
    for row in found.rows:
        if row.cell.source == CALIBRATION:
            program = maker(graph, x)(row.cell).lower()
            assert row.score == evaluate(program, (x, labels), engine="reference").value
            assert found.loss(row) == 100.0 - row.score
            assert row.agreement == pytest.approx(row.score)  # the labels are what the float network says
            assert row.error == ""
        else:
            assert row.score is row.agreement is found.loss(row) is None
            want = (
                "no batch norm: expected one\nor a range" if row.cell.source == NO_DATA else "ZeroDivisionError: a bug"
            )
            assert row.error == want


def test_an_interrupted_survey_goes_on_and_tries_failures_again(graph, x, labels, few, tmp_path, monkeypatch):
    scored = data_for(graph, (x, labels), labels=True)
    evaluated = []

    def float_stage(network):
        evaluated.append(network)
        return FloatStage(network)

    monkeypatch.setattr(float_result, "FloatStage", float_stage)
    make, made = maker(graph, x), []

    def stopped(cell):
        made.append(cell)
        if len(made) == 8:
            raise KeyboardInterrupt
        return make(cell)

    path = tmp_path / "state" / "survey.json"
    with pytest.raises(KeyboardInterrupt):
        survey(graph, scored, stopped, path=path, settings={"samples": 48})
    assert len(json.loads(path.read_text())["attempts"]) == 7
    seen = []
    again = survey(graph, scored, maker(graph, x, seen), path=path, settings={"samples": 48})
    assert len(seen) == len(FEW) - 2  # two of the first seven had a result
    whole = survey(graph, scored, maker(graph, x))
    assert [(r.cell, r.score, r.agreement, r.error) for r in again.rows] == [
        (r.cell, r.score, r.agreement, r.error) for r in whole.rows
    ]
    assert len(evaluated) == 2  # by the first survey and by the whole one; the second has it from the file
    with pytest.raises(UsageError, match="samples was 48, now 47"):
        survey(graph, scored, make, path=path, settings={"samples": 47})
    with pytest.raises(UsageError, match="evaluation data was"):
        survey(graph, data_for(graph, (x, labels), 7, labels=True), make, path=path, settings={"samples": 48})


def rows_of(*scores):
    return tuple(
        SurveyRow(cell, score, score, 1.5, "" if score else "why\nnot")
        for cell, score in zip(CELLS, scores, strict=True)
    )


def test_tables_hold_every_cell_and_every_digit():
    scores = [50 + k / 7 for k in range(len(CELLS) - 1)]
    found = Survey("net", "top1", 61.25, 400, rows_of(None, *scores))
    read = list(csv.reader(io.StringIO(to_csv(found))))
    assert read[0] == ["type", "weights", "data", "recovery", "top1", "loss", "agreement %", "seconds", "note"]
    assert len(read) == len(CELLS) + 2
    assert float(read[1][4]) == 61.25
    assert read[2][4:] == ["", "", "", "1.5", "why\nnot"]
    assert [float(line[4]) for line in read[3:]] == scores
    assert [float(line[5]) for line in read[3:]] == [61.25 - score for score in scores]
    headings, lines = grid(found)
    assert len(headings) == 7
    assert [len(line) for line in lines] == [7] * 6
    assert lines[0][1:3] == ["-", "50.00 (-11.25)"]
    assert [line[0] for line in lines] == list(dict.fromkeys(cell.type for cell in CELLS))
    assert cells_of(found, found.rows[0])[-1] == "why"
    assert len(cells_of(found, found.rows[0])) == len(COLUMNS)
    assert found.standard_error == pytest.approx(math.sqrt(0.6125 * 0.3875 / 400) * 100)
    worse = Survey("net", "mse", 0.5, 400, found.rows[1:], lower_is_better=True)
    assert worse.loss(worse.rows[0]) == 50.0 - 0.5
    assert math.isnan(worse.standard_error)


def test_the_plot_needs_no_network_and_has_every_type():
    pytest.importorskip("plotly", reason="needs plotly (extra `report`)")
    found = Survey("net", "top1", 61.25, 400, rows_of(None, *range(1, len(CELLS))))
    page = survey_page(found)
    assert "<script src=" not in page
    for cell in CELLS:
        assert cell.type in page


def undefined(outputs, targets):
    return math.nan


def test_a_float_network_without_a_score_is_refused(graph, x, labels, few):
    scored = data_for(graph, (x, labels), labels=True)
    with pytest.raises(DataError, match="undefined of the float network, got nan"):
        survey(graph, scored, maker(graph, x), metric=undefined)


@pytest.fixture
def files(graph, x, labels, tmp_path):
    graph.save(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=x, y=labels)
    np.savez(tmp_path / "unlabelled.npz", x=x)
    return tmp_path


def command(files, *more, data="data.npz"):
    paths = ["--data", files / "data.npz", "--eval", files / data, "-o", files / "out"]
    return main([str(a) for a in ("survey", files / "net.onnx", *paths, "--calibrator", "max", *more)])


def test_the_command_writes_text_csv_and_plot_and_goes_on(files, few, capsys):
    assert command(files) == 0
    out, err = capsys.readouterr()
    assert "float 100.00" in out
    assert "asymmetric, per channel; calibration data + recovery: " in err
    names = sorted(p.name for p in (files / "out").iterdir())
    assert names == ["survey.csv", "survey.html", "survey.json", "survey.txt"]
    first = (files / "out" / "survey.csv").read_text()
    assert first.count("\n") >= len(FEW) + 2
    assert command(files, "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    facts = json.loads(out)
    assert facts["float"] == 100.0
    assert [row["data"] for row in facts["rows"]] == [cell.source for cell in FEW]
    assert command(files, "--samples", "20") == 1
    assert "calibration data was" in capsys.readouterr().err
    assert command(files, data="unlabelled.npz") == 1
    assert "label" in capsys.readouterr().err


def test_sensitivity_as_a_command(files, capsys):
    target = files / "s.json"
    arguments = ["sensitivity", files / "net.onnx", "--data", files / "data.npz", "--calibrator", "max", "-o"]
    assert main([str(a) for a in (*arguments, target)]) == 0
    out = capsys.readouterr().out
    assert "sensitivity, worst first" in out
    assert "top1" not in out
    assert main([str(a) for a in (*arguments, target, "--eval", files / "unlabelled.npz")]) == 1
    assert "label" in capsys.readouterr().err
    assert main([str(a) for a in (*arguments, files / "data.npz")]) == 1
    assert "data.npz: expected the sensitivities of layers, got something else" in capsys.readouterr().err
    assert main([str(a) for a in (*arguments, files / "data.npz" / "s.json")]) == 1
    assert "expected to write the sensitivities of layers here" in capsys.readouterr().err
    assert main([str(a) for a in (*arguments, target, "--held-back", "0")]) == 1
    assert "samples: expected at least 1" in capsys.readouterr().err


def test_cells_have_readable_names():
    cell = Cell(Scheme.POWER_OF_TWO, "channel", SYNTHESIZED, True)
    assert cell.name == "power-of-two, per channel; synthesized data + recovery"
