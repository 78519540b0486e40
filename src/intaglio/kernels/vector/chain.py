"""Pipelines: which neighbouring operators run as one, strip by strip, and the call that does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from intaglio.kernels.kernel import Call, Tensor
from intaglio.kernels.vector.depthwise import depthwise_stage, is_depthwise, serves_depthwise
from intaglio.kernels.vector.row_add import add_stage, rows_of, serves_add
from intaglio.kernels.vector.row_clamp_channels import clamp_channels_stage, serves_clamp_channels
from intaglio.kernels.vector.row_gemm import gemm_stage, serves
from intaglio.kernels.vector.row_lut import Unary, lut_stage, serves_lut
from intaglio.kernels.vector.row_max_pool import max_pool_stage, serves_max_pool
from intaglio.kernels.vector.row_mul import mul_stage, serves_mul
from intaglio.kernels.vector.row_products import widens
from intaglio.kernels.vector.row_stage import Layout, RowStage, copy_stage, rows_call, strip_rows, widen_stage
from intaglio.kernels.vector.vector_isas import Vector
from intaglio.program.operator import Operator
from intaglio.program.operators.add import Add
from intaglio.program.operators.clamp_channels import ClampChannels
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.mul import Mul


@dataclass(frozen=True)
class Link:
    """One operator of a chain.

    Args:
        operator: it.
        inputs: its operands.
        output: what it makes.
        main: which of the operands the link before makes.
    """

    operator: Operator
    inputs: tuple[Tensor, ...]
    output: Tensor
    main: int = 0


LONGEST = 6  # of IG_STAGES: a copy and a widening may come on top


def fused_length(links: Sequence[Link], vector: Vector) -> int:
    """How many of the first links are worth running as one; at least 1.

    A strip that is handed on stays in the cache and needs no copy to get its border. Against it stand the rows that
    neighbouring strips and threads compute twice, so small images are left alone.
    """
    length = 1
    while length < len(links) and length < LONGEST:
        if not _worth(links[:length], links[length], vector):
            break
        length += 1
    return length


def _worth(before: Sequence[Link], link: Link, vector: Vector) -> bool:
    op, last = link.operator, before[-1]
    if not all(_serves(b, vector) for b in (*before, link)) or isinstance(last.operator, Add | Mul):
        return False
    if isinstance(op, Mul):
        return link.inputs[0].shape == link.inputs[1].shape
    if isinstance(op, Add | Unary | ClampChannels):
        return True
    last = next(b for b in reversed(before) if not isinstance(b.operator, Unary | ClampChannels))
    if link.output.shape[1] < 14 or isinstance(last.operator, MaxPool2d):
        return False
    if isinstance(op, MaxPool2d):
        return len(before) == 1
    assert isinstance(op, Conv2d)
    if _depthwise(link):
        return not any(_depthwise(b) for b in before)
    pointwise = op.weight.shape[1:3] == (1, 1) and op.strides == (1, 1)
    return pointwise and _depthwise(last)


def _depthwise(link: Link) -> bool:
    return isinstance(link.operator, Conv2d) and is_depthwise(link.operator, link.inputs[0])


def _widened(link: Link, vector: Vector) -> Conv2d | None:
    """The convolution, where its inputs are widened first."""
    op = link.operator
    if isinstance(op, Conv2d) and not _depthwise(link) and widens(op, link.inputs[0], link.output, vector):
        return op
    return None


def _serves(link: Link, vector: Vector) -> bool:
    if isinstance(link.operator, Conv2d):
        check = serves_depthwise if _depthwise(link) else serves
        return check(link.operator, link.inputs[0], link.output, vector)
    if isinstance(link.operator, MaxPool2d):
        return serves_max_pool(link.operator, link.inputs[0])
    if isinstance(link.operator, ClampChannels):
        return serves_clamp_channels(link.inputs[0])
    if isinstance(link.operator, Unary):
        return serves_lut(link.operator, link.inputs[0], link.output)
    if isinstance(link.operator, Mul):
        return serves_mul(link.operator, link.inputs, link.output, vector)
    return isinstance(link.operator, Add) and serves_add(link.operator, link.inputs, link.output)


def chain_call(links: Sequence[Link], vector: Vector) -> Call | None:
    """The call that runs the links as one pipeline; None where a link is not served.

    Its inputs are the first link's operand and, where the last link adds, that link's other operand.
    """
    if not all(_serves(link, vector) for link in links):
        return None
    y = links[-1].output
    to = Layout(rows_of(y)[1] * y.type.dtype.itemsize)
    stages: list[RowStage] = []
    for i in range(len(links) - 1, -1, -1):
        stage = _stage(links[i], vector, to)
        widened = _widened(links[i], vector)
        if i > 0 or widened:
            stage = replace(stage, source=replace(stage.source, strip=True))
        stages.insert(0, stage)
        if widened:
            stage = widen_stage(widened, links[i].inputs[0], stage.source)
            if i > 0:
                stage = replace(stage, source=replace(stage.source, strip=True))
            stages.insert(0, stage)
        to = stage.source
    x = links[0].inputs[links[0].main]
    if stages[0].source.strip:
        stages.insert(0, copy_stage(x.shape[1], x.shape[2] * x.shape[3] * x.type.dtype.itemsize, stages[0].source))
    last = stages[-1]
    few = last.parts > 1 and (last.out_height == 1 or (last.out_height < 8 and last.parts >= 4))
    call = rows_call(stages, strip_rows(stages), split_parts=few)
    return replace(call, split=max(1, int(_nanoseconds(links) // WORTH_A_THREAD)))


WORTH_A_THREAD = 1500  # nanoseconds of work; to hand some over and to wait for it costs about one thousand


def _nanoseconds(links: Sequence[Link]) -> float:
    """A rough lower estimate of what the links cost on one thread."""
    return sum(link.operator.macs(*(t.shape for t in link.inputs)) / 100 + 0.1 * link.output.size for link in links)


def _stage(link: Link, vector: Vector, to: Layout) -> RowStage:
    op = link.operator
    if isinstance(op, Add):
        return add_stage(op, link.inputs, link.output, vector, to, swap=link.main == 1)
    if isinstance(op, Mul):
        return mul_stage(op, link.inputs, link.output, vector, to, swap=link.main == 1)
    if isinstance(op, ClampChannels):
        return clamp_channels_stage(op, link.inputs[0], link.output, vector, to)
    if isinstance(op, Unary):
        return lut_stage(op, link.inputs[0], link.output, vector, to)
    if isinstance(op, MaxPool2d):
        return max_pool_stage(op, link.inputs[0], link.output, vector, to)
    assert isinstance(op, Conv2d)
    make = depthwise_stage if _depthwise(link) else gemm_stage
    return make(op, link.inputs[0], link.output, vector, to)
