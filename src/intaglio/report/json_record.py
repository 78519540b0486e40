"""Write the report as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from intaglio.report.coverage import coverage
from intaglio.report.facts import Facts, plain
from intaglio.report.value_rows import value_rows

if TYPE_CHECKING:
    from intaglio.graph import Graph
    from intaglio.plan import Plan


def report_json(graph: Graph, plan: Plan, facts: Facts) -> dict[str, Any]:
    """Return the page's content without images: the facts, the coverage, and each value's format and reason."""
    covered = coverage(plan)
    return {
        **facts.to_json(),
        "coverage": {
            "sentence": covered.sentence,
            "operators": [asdict(kind) for kind in covered.kinds],
            "float": list(covered.left),
        },
        "values": [
            {
                "name": row.name,
                "role": row.role,
                "operator": row.operator,
                "node": row.node,
                "format": row.format,
                "source": row.source,
                "of": [link.name for link in row.of],
                "calibrator": row.calibrator,
                "sqnr": plain(row.ratio),
                "sensitivity": plain(row.sensitivity),
                "why": row.why,
            }
            for row in value_rows(graph, plan, facts)
        ],
    }


def as_lines(record: Mapping[str, Any]) -> str:
    """Format as JSON with one line for each fact and each list entry: readable, and still small."""
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_entries(value)}" for key, value in record.items()) + "\n}\n"


def _entries(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
