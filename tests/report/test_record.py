"""The page as JSON: the same facts, plain and finite."""

from __future__ import annotations

import json

import intaglio as ig
from intaglio.report import Facts, report_json
from intaglio.report.json_record import as_lines


def test_the_same_facts_as_the_page(quantized: ig.Quantized, full_facts: Facts) -> None:
    record = report_json(quantized.graph, quantized.plan, full_facts)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["integer"] == {"metric": "top1", "value": 88.19, "samples": 10000, "engine": "reference"}
    assert record["gates"]["passed"] is False
    assert record["history"][-1] == "ship in 16 bits"
    assert record["steps"][-1] == {
        "algorithm": "partial quantization", "text": "ship in 16 bits", "metric": "top1", "before": 80.0, "after": 82.5,
        "samples": 100, "kept": True,
    }  # fmt: skip
    assert record["sensitivities"] == {"conv": 31.5, "head": 42.25, "pool": None, "ship": 50.0}
    assert record["confusion"]["changed"] == 5
    assert "image" not in record["confusion"]["differing"][0]
    assert record["arena"]["bytes"] > 0
    assert [cost["name"] for cost in record["costs"] if cost["macs"]] == ["conv", "head"]
    values = {value["name"]: value for value in record["values"]}
    assert set(values) == set(quantized.plan.values)
    assert values["r"]["why"] == quantized.plan["r"].why
    assert values["r"]["sqnr"] == 4.2
    assert values["c"]["sensitivity"] == 31.5
    assert record["coverage"]["float"] == []


def test_nothing_known_is_still_an_object(quantized: ig.Quantized) -> None:
    record = report_json(quantized.graph, quantized.plan, Facts())
    assert record["gates"] == {"passed": True, "checks": []}
    assert "float" not in record
    assert record["arena"] is None


def test_lines_are_the_same_json(quantized: ig.Quantized, full_facts: Facts) -> None:
    record = report_json(quantized.graph, quantized.plan, full_facts)
    text = as_lines(record)
    assert json.loads(text) == record
    assert text.splitlines()[1].startswith(' "gates": ')
