"""Survey of several networks: a row for each network, a column for each number format and method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from intaglio.errors import IntaglioError
from intaglio.search.survey import Survey, SurveyRow
from intaglio.search.survey_columns import Column


@dataclass(frozen=True)
class NetworkRow:
    """Row of the table.

    Args:
        name: name of the network.
        survey: its scores; None where the network could not be measured at all.
        error: why not.
    """

    name: str
    survey: Survey | None
    error: str = ""

    def cell(self, column: Column) -> SurveyRow | None:
        """Return the result in a column; None without one."""
        rows = () if self.survey is None else self.survey.rows
        return next((row for row in rows if row.cell == column), None)

    def survey_loss(self, row: SurveyRow) -> float | None:
        """Return the loss of a result against float; None without a score."""
        return None if self.survey is None else self.survey.loss(row)

    def change(self, column: Column) -> float | None:
        """Return the difference to the float network's score in a column; None without a score."""
        row = self.cell(column)
        return None if row is None or row.score is None or self.survey is None else row.score - self.survey.reference


@dataclass(frozen=True)
class SurveyTable:
    """Scores of several networks in several number formats.

    Args:
        columns: the columns.
        rows: the rows, in the order of the networks.
    """

    columns: tuple[Column, ...]
    rows: tuple[NetworkRow, ...]

    @property
    def metric(self) -> str:
        """Name of the metric; several names if networks differ."""
        return ", ".join(dict.fromkeys(row.survey.metric for row in self.rows if row.survey is not None))

    def mean_change(self, column: Column) -> float | None:
        """Return the mean change in a column, if there are several networks, all have one, and share the metric."""
        changes = [row.change(column) for row in self.rows]
        known = [change for change in changes if change is not None]
        comparable = len(known) == len(self.rows) > 1 and "," not in self.metric
        return mean(known) if comparable else None

    def failures(self, *, cells_only: bool = False) -> list[tuple[str, str]]:
        """List (network or `network, column`, reason) of everything without a score; of cells only on request."""
        found: list[tuple[str, str]] = []
        for row in self.rows:
            if row.survey is not None:
                found += [(f"{row.name}, {r.cell.name}", r.error) for r in row.survey.rows if r.score is None]
            elif not cells_only:
                found.append((row.name, row.error))
        return found


def survey_networks(
    networks: Sequence[tuple[str, Callable[[], Survey]]],
    columns: Sequence[Column],
    callback: Callable[[NetworkRow], None] | None = None,
) -> SurveyTable:
    """Measure networks one after the other; one that fails does not stop the others.

    Args:
        networks: name, and what measures it.
        columns: the columns that each of them measures.
        callback: called with each row.
    """
    rows = []
    for name, measure in networks:
        try:
            row = NetworkRow(name, measure())
        except Exception as error:  # the other networks do not depend on this one; its row shows the error
            text = str(error) if isinstance(error, IntaglioError) else f"{type(error).__name__}: {error}"
            row = NetworkRow(name, None, text)
        rows.append(row)
        if callback is not None:
            callback(row)
    return SurveyTable(tuple(columns), tuple(rows))
