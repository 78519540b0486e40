"""Shows people what happened: terminal tables and one self-contained HTML page."""

from intaglio.report.facts import Facts
from intaglio.report.page import write_report
from intaglio.report.tables import print_table

__all__ = ["Facts", "print_table", "write_report"]
