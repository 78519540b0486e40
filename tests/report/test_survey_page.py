"""The pages of surveys in a real browser: nothing is wider than a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intaglio.search.survey import CELLS, RETRAINED, Survey, SurveyRow
from intaglio.search.survey_columns import parse_columns
from intaglio.search.survey_page import survey_page, table_page
from intaglio.search.survey_table import NetworkRow, SurveyTable

LONG = "a_very_long_name_of_a_network_that_somebody_exported_with_every_setting_in_it_v2_final.onnx"


def table() -> str:
    columns = parse_columns(None, trained=True)
    rows = tuple(SurveyRow(c, 70.0 + i, 99.0, 1.0) for i, c in enumerate(columns))
    networks = [NetworkRow(name, Survey(name, "top1", 76.5, 10_000, rows)) for name in ("ResNet-8", LONG)]
    return table_page(SurveyTable(columns, (*networks, NetworkRow("missing", None, f"{LONG}: expected a file"))))


def grid() -> str:
    rows = tuple(SurveyRow(cell, 70.0 + i, 99.0, 1.0) for i, cell in enumerate((*CELLS, *RETRAINED)))
    return survey_page(Survey(LONG, "top1", 76.5, 10_000, rows))


@pytest.mark.parametrize("made", [table, grid])
def test_it_fits_phones_and_desktops(made: Any, chromium: Any, tmp_path: Path) -> None:
    (tmp_path / "survey.html").write_text(made(), encoding="utf-8")
    for width in (360, 390, 800, 1280):
        chromium.screen(width, 900, phone=width < 500)
        chromium.open(tmp_path / "survey.html")
        chromium.ask("await new Promise((done) => setTimeout(done, 500))")
        wide = chromium.ask(
            """const inside = (e) => e.closest(".scroll, svg, .js-plotly-plot") !== null && innerWidth > 768;
            const wide = (e) => !inside(e) && e.getBoundingClientRect().right > innerWidth + 1;
            return [document.documentElement.scrollWidth,
                [...document.querySelectorAll("body *")].filter(wide).map((e) => e.outerHTML.slice(0, 80))]"""
        )
        assert wide == [width, []]
    assert chromium.console == []
