"""Stages of a pipeline of rows, and the call that runs one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.kernels.kernel import Call, CSource, Name, Struct, StructArray, Tensor
from intaglio.program.operators.conv2d import Conv2d

MOST_STAGES = 10  # IG_STAGES of rows.h
SLACK = 64  # bytes behind every strip that vector loads may touch
STRIPS = 256 << 10  # bytes of the second-level cache that strips may fill


@dataclass(frozen=True)
class Layout:
    """Rows of bytes: how far apart they are, and the borders of each.

    Args:
        pitch: bytes from one row to the next.
        left, right: of these, in front of and behind the pixels.
    """

    pitch: int
    left: int = 0
    right: int = 0
    strip: bool = False

    @classmethod
    def plain(cls, width: int, pixel: int) -> Layout:
        """A tensor's own; `pixel`: bytes of a position."""
        return cls(width * pixel)

    @classmethod
    def bordered(cls, width: int, pixel: int, before: int, after: int, slack: int = 0) -> Layout:
        """A strip's: so many pixels in front and behind, rows aligned to 64."""
        pixels = (before + width) * pixel
        pitch = -(-(pixels + after * pixel + slack) // 64) * 64
        return cls(pitch, before * pixel, pitch - pixels, strip=True)


@dataclass(frozen=True)
class RowStage:
    """One operator over rows; the fields are those of `struct ig_stage` and what the planning needs.

    Args:
        run: name of its C function.
        sources: that define it.
        params: its constants.
        parts: of its output channels, for threads.
        stride, before, taps: which input rows an output row reads.
        x_height: rows of its input.
        source: the layout in which it reads its input; a strip's, or the tensor's own.
        fill: code of the border.
        out_height: rows of its output.
        work: bytes of working memory.
        checks: it looks for the edges of the image itself and reads no padding.
        skips: reads the pipeline's second input as well, row by row of its output.
    """

    run: str
    sources: tuple[CSource, ...]
    params: Struct
    parts: int
    stride: int
    before: int
    taps: int
    x_height: int
    source: Layout
    fill: int
    out_height: int
    skips: bool = False
    work: int = 0
    checks: bool = False


def row_stage(
    run: str, sources: tuple[CSource, ...], params: Struct, height: int, nbytes: int, *, skips: bool = False
) -> RowStage:
    """A stage that makes each row from the same row of its input, of so many bytes."""
    return RowStage(
        run=run,
        sources=sources,
        params=params,
        parts=1,
        stride=1,
        before=0,
        taps=1,
        x_height=height,
        source=Layout(nbytes),
        fill=0,
        out_height=height,
        skips=skips,
    )


def copy_stage(height: int, nbytes: int, to: Layout) -> RowStage:
    """Rows of a tensor, of so many bytes each, into a bordered strip."""
    fields = {"x_row": nbytes, "y_row": to.pitch, "nbytes": nbytes}
    sources = (CSource("vector/rows.h"),)
    return row_stage("ig_copy_rows", sources, Struct("struct ig_copy_rows", fields), height, nbytes)


def widen_stage(op: Conv2d, x: Tensor, to: Layout) -> RowStage:
    """Rows of 8-bit codes as 16-bit numbers without their zero point."""
    _, height, width, channels = x.shape
    name = f"ig_widen_rows_{x.short}"
    count = width * channels
    fields = {"x_row": count, "y_row": to.pitch, "count": count, "zero_point": op.x_zero_point}
    sources = (CSource("vector/widen_rows.h", (("IG_NAME", name), ("IG_X", x.c_type))),)
    return row_stage(name, sources, Struct("struct ig_widen_rows", fields), height, count)


def rows_call(stages: Sequence[RowStage], strip: int, *, split_parts: bool, baremetal: bool = False) -> Call:
    """The call of a pipeline; only its first stage may read a tensor.

    Args:
        stages: first to last.
        strip: output rows at a time.
        split_parts: threads share the output channels instead of the rows.
        baremetal: memory is scarce, and nothing reads behind a strip.
    """
    assert len(stages) <= MOST_STAGES, len(stages)
    scratch, rows, needed = 0, [], strip
    unit, slack = (8, 0) if baremetal else (64, SLACK)
    offsets = [0] * len(stages)
    for k in range(len(stages) - 1, -1, -1):
        stage = stages[k]
        needed = (needed - 1) * stage.stride + stage.taps
        if stage.source.strip:
            offsets[k] = scratch
            scratch += -(-(needed * stage.source.pitch + slack) // unit) * unit
    working = []
    for stage in stages:
        working.append(scratch if stage.work else -1)
        scratch += -(-stage.work // unit) * unit
    for offset, work, stage in zip(offsets, working, stages, strict=True):
        strip_source = stage.source.strip
        rows.append(
            {
                "run": Name(stage.run),
                "params": stage.params,
                "parts": stage.parts,
                "stride": stage.stride,
                "before": stage.before,
                "taps": stage.taps,
                "x_height": stage.x_height,
                "buffer": offset,
                "pitch": stage.source.pitch if strip_source else 0,
                "left": stage.source.left,
                "right": stage.source.right,
                "fill": stage.fill,
                "above": 0 if stage.checks else stage.before,
                "work": work,
            }
        )
    last = stages[-1]
    fields = {
        "stages": StructArray("struct ig_stage", rows),
        "count": len(rows),
        "strip": strip,
        "split_parts": int(split_parts),
        "height": last.out_height,
    }
    sources = tuple(dict.fromkeys((CSource("vector/rows.h"), *(s for stage in stages for s in stage.sources))))
    units = last.parts if split_parts else last.out_height
    function = "ig_rows_skip" if any(stage.skips for stage in stages) else "ig_rows"
    return Call(function, sources, "struct ig_rows", fields, units=units, scratch=scratch)


def strip_rows(stages: Sequence[RowStage]) -> int:
    """Output rows at a time, so that the strips stay in the cache."""
    last = stages[-1]
    best = 1
    for rows in range(1, last.out_height + 1):
        needed, nbytes = rows, 0
        for stage in reversed(stages):
            needed = (needed - 1) * stage.stride + stage.taps
            nbytes += needed * stage.source.pitch
        if nbytes > STRIPS:
            break
        best = rows
    # Equal strips: 28 rows in strips of 10 are better run as 10, 9 and 9.
    return -(-last.out_height // -(-last.out_height // best))
