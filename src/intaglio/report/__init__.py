"""Report of a quantization: terminal tables and one self-contained HTML page."""

from intaglio.report.collect import known_facts
from intaglio.report.facts import Facts
from intaglio.report.json_record import report_json
from intaglio.report.page import write_report
from intaglio.report.terminal_tables import print_table

__all__ = ["Facts", "known_facts", "print_table", "report_json", "write_report"]
