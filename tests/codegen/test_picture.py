"""The picture of the arena: numbers that add up, text that fits, SVG that parses."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from intaglio_tests.plans import Builder, add, conv

from intaglio.codegen.build import plan
from intaglio.codegen.machine import machine
from intaglio.codegen.picture import describe_arena, summary, text_picture
from intaglio.codegen.svg import svg_picture
from intaglio.number import INT8
from intaglio.program.operators.clamp import Clamp

SVG = "{http://www.w3.org/2000/svg}"


def network(blocks):
    """Residual blocks."""
    rng = np.random.default_rng(0)
    b = Builder((1, 8, 8, 4))
    x = b.node(conv(rng, b.tensors["x0"], 3, 8, pad=1), "x0")
    for _ in range(blocks):
        y = b.node(conv(rng, b.tensors[x], 3, 8, pad=1), x)
        x = b.node(add(rng, INT8), x, b.node(conv(rng, b.tensors[y], 3, 8, pad=1), y))
    return b.build(x)


def facts_of(program, name="portable"):
    return describe_arena(plan(program, machine(name)))


@pytest.mark.parametrize("name", ["portable", "cortex-m0"])
def test_the_sizes_of_the_picture_add_up(name):
    program = network(3)
    facts = facts_of(program, name)
    json.dumps(facts)
    assert facts["bytes"] == max(b["offset"] + -(-b["bytes"] // 8) * 8 for b in facts["buffers"])
    assert facts["lower_bound"] == max(s["live"] for s in facts["steps"]) <= facts["bytes"]
    assert facts["steps"][facts["fullest_step"]]["live"] == facts["lower_bound"]
    assert facts["constant_bytes"] >= program.nbytes // 2
    assert bool(facts["inside"]) == (name == "cortex-m0")
    assert f"{facts['bytes']:,} bytes" in summary(facts)


@pytest.mark.parametrize("blocks", [1, 60])
@pytest.mark.parametrize("width", [60, 100])
def test_text_fits_and_names_the_largest(blocks, width):
    facts = facts_of(network(blocks))
    lines = text_picture(facts, width, 12).splitlines()
    rows = [line for line in lines if "|" in line]
    assert len(rows) == 12
    assert max(map(len, lines)) <= width
    assert rows[0].strip().startswith(f"{facts['bytes']:,} |")
    largest = max(b["bytes"] for b in facts["buffers"])
    assert re.search(rf"A +{largest:,} bytes", "\n".join(lines))


def test_an_empty_arena_is_drawn():
    b = Builder((1, 2, 2, 1))
    facts = facts_of(b.build(b.node(Clamp(0, 1), "x0")))
    assert facts["bytes"] == 0
    assert "nothing" in text_picture(facts)
    ET.fromstring(svg_picture(facts, "empty"))


def test_svg_draws_every_buffer_at_its_offset():
    facts = facts_of(network(4), "cortex-m0")
    root = ET.fromstring(svg_picture(facts, "a <b> & c"))
    boxes = [r for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert len(boxes) == len(facts["buffers"])
    tensors = [r for r in boxes if r.get("class") == "tensor"]
    taller = sorted(tensors, key=lambda r: float(r.get("height")))[-1]
    largest = max((b for b in facts["buffers"] if b["name"] not in facts["inside"]), key=lambda b: b["bytes"])
    assert f"{largest['bytes']:,} bytes" in taller.find(f"{SVG}title").text
    text = " ".join(t.text or "" for t in root.iter(f"{SVG}text"))
    assert "Memory of a <b> & c on cortex-m0" in text
    assert f"{facts['lower_bound']:,} bytes live in step" in text
    left, top, right, bottom = 0, 0, float(root.get("width")), float(root.get("height"))
    for box in boxes:
        x, y = float(box.get("x")), float(box.get("y"))
        assert left <= x <= x + float(box.get("width")) <= right
        assert top <= y <= y + float(box.get("height")) <= bottom
