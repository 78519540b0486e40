"""Draw the arena over time as SVG, for light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from intaglio.codegen.picture import buffer_name, is_scratch


def svg_picture(facts: Mapping[str, Any], title: str) -> str:
    """Draw the arena as SVG: steps from left to right, addresses from bottom to top.

    Args:
        facts: data from `describe_arena`.
        title: name of the model.
    """
    left, top, wide, high, right, below = 92, 84, 940, 420, 28, 74
    count = max(1, len(facts["steps"]))
    nbytes = max(1, facts["bytes"])
    scale: float = high / nbytes
    column: float = wide / count

    def x(step: float) -> float:
        return left + step * column

    def y(address: float) -> float:
        return top + high - address * scale

    parts = []
    for tick in _ticks(nbytes):
        parts.append(f'<line class="grid" x1="{left}" x2="{left + wide}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_size(tick)}</text>')
    stride = max(1, -(-count // 20))
    stride = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if s >= stride), stride)
    parts += [
        f'<text class="tick" x="{x(step + 0.5):.1f}" y="{top + high + 18}" text-anchor="middle">{step}</text>'
        for step in range(0, count, stride)
    ]
    outside = {*facts["inside"]}
    for b in sorted(facts["buffers"], key=lambda b: (is_scratch(b), b["first"])):
        kind = "work" if is_scratch(b) else "outer" if b["name"] in outside else "tensor"
        x0, x1 = x(b["first"]), x(b["last"] + 1)
        y0, y1 = y(b["offset"] + b["bytes"]), y(b["offset"])
        label = escape(
            f"{buffer_name(facts, b)}: {b['bytes']:,} bytes at {b['offset']:,}, steps {b['first']} to {b['last']}"
        )
        parts.append(
            f'<rect class="{kind}" x="{x0 + 0.5:.1f}" y="{y0 + 0.5:.1f}" width="{max(0.8, x1 - x0 - 1):.1f}" '
            f'height="{max(0.8, y1 - y0 - 1):.1f}" rx="1.5"><title>{label}</title></rect>'
        )
    parts += list(_labels(facts, x, y))
    bound = facts["lower_bound"]
    parts.append(
        f'<line class="bound" x1="{left}" x2="{left + wide}" y1="{y(bound):.1f}" y2="{y(bound):.1f}"/>'
        f'<text class="bound" x="{left + wide}" y="{y(bound) - 6:.1f}" text-anchor="end">'
        f"{bound:,} bytes live in step {facts['fullest_step']}: no plan of this order is smaller</text>"
    )
    parts.append(f'<line class="axis" x1="{left}" x2="{left + wide}" y1="{top + high}" y2="{top + high}"/>')
    parts.append(f'<text class="tick" x="{left + wide / 2}" y="{top + high + 36}" text-anchor="middle">step</text>')
    legend = [("tensor", "tensor"), ("outer", "input or output of the model"), ("work", "working memory of a step")]
    drawn = {"tensor"} | ({"outer"} if outside else set())
    drawn |= {"work"} if any(is_scratch(b) for b in facts["buffers"]) else set()
    at = float(left)
    for kind, words in (item for item in legend if item[0] in drawn):
        parts.append(f'<rect class="{kind}" x="{at}" y="{top + high + 48}" width="14" height="14" rx="2"/>')
        parts.append(f'<text class="note" x="{at + 20}" y="{top + high + 60}">{words}</text>')
        at += 44 + 6.6 * len(words)
    width, height = left + wide + right, top + high + below
    head = escape(f"Memory of {title} on {facts['machine']}")
    note = escape(
        f"{facts['bytes']:,} bytes of arena, {facts['constant_bytes']:,} bytes of constants, {count} steps; "
        f"nodes that are views and need no step: {len(facts['views'])}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="title">\n<title id="title">{head}: {note}</title>\n<style>{_STYLE}</style>\n'
        f'<rect class="page" width="{width}" height="{height}"/>\n'
        f'<text class="head" x="{left}" y="34">{head}</text>\n<text class="note" x="{left}" y="56">{note}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _labels(facts: Mapping[str, Any], x: Any, y: Any) -> Iterator[str]:
    """Yield labels for the largest rectangles with room for a name that overlaps no other label."""
    taken: list[tuple[float, float, float, float]] = []
    for b in sorted(facts["buffers"], key=lambda b: -b["bytes"] * (b["last"] - b["first"] + 1)):
        x0, x1 = x(b["first"]), x(b["last"] + 1)
        y0, y1 = y(b["offset"] + b["bytes"]), y(b["offset"])
        upright = x1 - x0 < y1 - y0
        room, across = (y1 - y0, x1 - x0) if upright else (x1 - x0, y1 - y0)
        if across < 13:
            continue
        words = _fit(f"{_short(facts, b)}  {_size(b['bytes'])}", _short(facts, b), _size(b["bytes"]), room=room - 8)
        if not words:
            continue
        half, cx, cy = 3.2 * len(words), (x0 + x1) / 2, (y0 + y1) / 2
        box = (cx - 7, cy - half, cx + 7, cy + half) if upright else (cx - half, cy - 7, cx + half, cy + 7)
        if any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in taken):
            continue
        taken.append(box)
        turn = f' transform="rotate(-90 {cx:.1f} {cy:.1f})"' if upright else ""
        yield (f'<text class="label" x="{cx:.1f}" y="{cy + 4:.1f}" text-anchor="middle"{turn}>{escape(words)}</text>')


def _fit(*choices: str, room: float) -> str:
    return next((words for words in choices if 6.4 * len(words) <= room), "")


def _short(facts: Mapping[str, Any], buffer: Mapping[str, Any]) -> str:
    name = "working memory" if is_scratch(buffer) else buffer_name(facts, buffer)
    return name if len(name) <= 28 else "..." + name[-25:]


def _ticks(nbytes: int) -> list[int]:
    """Return four to eight round addresses."""
    unit = 1
    while nbytes / unit > 8:
        unit *= 2
    return list(range(0, nbytes + 1, unit))


def _size(n: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if n >= unit:
            return f"{n / unit:.3g} {name}" if n / unit < 1000 else f"{n / unit:,.0f} {name}"
    return f"{n} B"


_STYLE = """
svg { --page: #ffffff; --ink: #1d2733; --soft: #5b6875; --grid: #e3e8ed; --tensor: #3d7ab8; --outer: #2b8a6e;
  --work: #8d97a3; --bound: #b3452c; --on: #0f2740; }
@media screen and (prefers-color-scheme: dark) { svg { --page: #12171d; --ink: #e6ebf0; --soft: #9aa7b4;
  --grid: #2a323b; --tensor: #5a97d6; --outer: #45b08f; --work: #77828f; --bound: #f0805f; --on: #f3f7fb; } }
.page { fill: var(--page); }
text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.head { font-size: 18px; font-weight: 600; }
.note, .tick { fill: var(--soft); }
.grid { stroke: var(--grid); }
.axis { stroke: var(--soft); }
.tensor { fill: var(--tensor); fill-opacity: .45; stroke: var(--tensor); }
.outer { fill: var(--outer); fill-opacity: .45; stroke: var(--outer); }
.work { fill: var(--work); fill-opacity: .35; stroke: var(--work); stroke-dasharray: 3 2; }
.label { fill: var(--on); font-size: 11px; paint-order: stroke; stroke: var(--page); stroke-opacity: .6;
  stroke-width: 3px; }
line.bound { stroke: var(--bound); stroke-width: 1.5; stroke-dasharray: 6 4; }
text.bound { fill: var(--bound); }
"""
