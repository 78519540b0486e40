"""Pipelines where memory is scarce: any kernels that work row by row, one output row at a time.

An inverted residual then never holds its expanded image, only as many rows of it as the depthwise window has.

Source: the idea of Lin et al. 2020, arXiv:2007.10319 (in-place depthwise convolution), taken to the whole block.
"""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, CSource, Struct, Tensor, bind
from intaglio.kernels.vector.chain import Link
from intaglio.kernels.vector.row_stage import Layout, RowStage, rows_call
from intaglio.program.operators.conv2d import Conv2d

LONGEST = 6


def baremetal_chain(links: Sequence[Link], isas: Sequence[str]) -> tuple[int, Call] | None:
    """How many of the first links are better run as one, and the call; None where none are.

    Worth it are chains through a depthwise convolution whose ends and strips together are smaller than the largest
    tensor between them: kernels that work row by row let an output follow its input through the same memory, so that
    tensor is about what the links need one by one. Of several lengths the one that needs least is taken.

    Args:
        links: neighbouring operators.
        isas: instruction sets of the machine, best first.
    """
    best: tuple[int, int, Call] | None = None
    for length in range(2, min(len(links), LONGEST) + 1):
        some = links[:length]
        if not all(isinstance(link.operator, Conv2d) and link.inputs[0].shape[0] == 1 for link in some):
            break
        if not any(link.operator.groups == link.inputs[0].shape[-1] > 1 for link in some[1:]):  # type: ignore[attr-defined]
            continue
        calls = [bind(link.operator, link.inputs, link.output, isas) for link in some]
        if any(call.rows != 1 or call.variadic for call in calls):
            break
        call = rows_call([_stage(link, c, i) for i, (link, c) in enumerate(zip(some, calls, strict=True))], 1,
                         split_parts=False, baremetal=True)  # fmt: skip
        between = max(link.output.nbytes for link in some[:-1])
        peak = some[0].inputs[0].nbytes + some[-1].output.nbytes + call.scratch
        if peak < between and (best is None or peak < best[0]):
            best = peak, length, call
    return None if best is None else best[1:]


def _stage(link: Link, call: Call, position: int) -> RowStage:
    op, x, y = link.operator, link.inputs[0], link.output
    assert isinstance(op, Conv2d)
    name = f"{call.function}_rows"
    defines = {
        "IG_NAME": name,
        "IG_KERNEL": call.function,
        "IG_PARAMS": call.struct,
        "IG_X": x.c_type,
        "IG_Y": y.c_type,
    }
    return RowStage(
        run=name,
        sources=(*call.sources, CSource("vector/call_rows.h", tuple(defines.items()))),
        params=Struct(call.struct, call.fields),
        parts=1,
        stride=op.strides[0],
        before=op.pads[0],
        taps=(op.weight.shape[1] - 1) * op.dilations[0] + 1,
        x_height=x.shape[1],
        source=Layout(_row_bytes(x), strip=position > 0),
        fill=0,
        out_height=y.shape[1],
        work=call.scratch,
        checks=True,
    )


def _row_bytes(x: Tensor) -> int:
    return x.nbytes // x.shape[1]
