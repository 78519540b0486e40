"""Distillation losses for any training loop: distance from a float teacher's scores and features.

teacher = FloatModule(qat.graph)
names = stage_ends(qat.graph)
with capture(qat, names) as mine, capture(teacher, names) as theirs:
    loss = distillation(qat(x), teacher(x)) + feature_loss(mine, theirs)

Sources: Hinton et al. 2015, arXiv:1503.02531; Romero et al. 2014, arXiv:1412.6550; Zagoruyko & Komodakis 2016,
arXiv:1612.03928.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import onnx_ir as ir
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.errors import DataError, UsageError
from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output, shape
from intaglio.graph.operators import facts
from intaglio.ops.clamp import clamp_bounds
from intaglio.simulate.by_sample import put_together
from intaglio.train.module import QuantizedModule
from intaglio.train.teacher import FloatModule


def distillation(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0) -> Tensor:
    """Return the distillation loss between a student's and a teacher's scores.

        L = T^2 * mean over samples of KL(softmax(teacher / T) || softmax(student / T))

    T^2 makes the size of the gradients independent of T.

    Args:
        student_logits, teacher_logits: scores before softmax, (N, classes, ...); the teacher gets no gradient.
        temperature: T; with a larger T small scores count more.
    Returns:
        Scalar, 0 if both agree.
    Raises:
        DataError: the shapes differ.
        UsageError: the temperature is not positive.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    _check_shapes("distillation", student_logits, teacher_logits)
    if not temperature > 0:
        raise UsageError(f"distillation: expected a temperature above 0, got {temperature}")
    mine = F.log_softmax(student_logits / temperature, dim=1)
    theirs = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    samples = student_logits.numel() // student_logits.shape[1]
    return F.kl_div(mine, theirs, reduction="sum", log_target=True) * (temperature**2 / samples)


def feature_loss(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    measure: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the mean distance of named features.

    Args:
        student, teacher: features with the same names, from `capture`.
        measure: distance of two features; default: `feature_distance`.
    Returns:
        Scalar.
    Raises:
        DataError: there are no features, or names or shapes differ.
    """
    if not student or student.keys() != teacher.keys():
        raise DataError(
            f"features: expected the same names of student and teacher, got {sorted(student)} and {sorted(teacher)}; "
            "run both inside `capture`, with the same names"
        )
    distance = measure or feature_distance
    total = sum(distance(student[name], teacher[name]) for name in student)
    assert isinstance(total, Tensor)
    return total / len(student)


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared error of a feature, divided by the teacher's power.

        L = sum (s - t)^2 / sum t^2

    The paper's regressor is not needed, because a quantized network has its teacher's shapes.

    Args:
        student, teacher: features of the same shape; the teacher gets no gradient.
    Raises:
        DataError: the shapes differ.
    Source: Romero et al. 2014, arXiv:1412.6550 (FitNets), eq. (3).
    """
    _check_shapes("features", student, teacher)
    teacher = teacher.detach()
    return (student - teacher).square().sum() / teacher.square().sum().clamp(min=_LEAST)


_LEAST = 1e-12


def _check_shapes(where: str, student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise DataError(
            f"{where}: expected student and teacher of the same shape, got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}; give both the same batch of the same task"
        )


@contextmanager
def capture(module: nn.Module, names: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """Record the features of named values at each forward pass inside the `with` block.

    Args:
        module: a `QuantizedModule` or `FloatModule`, for which names are those of Graph values (after rounding); or any
            other module, for which names are those of submodules (their outputs). Wrappers (DDP, torch.compile) are
            removed.
        names: names of the features.
    Yields:
        Features by name.
    Raises:
        UsageError: the module has no value or submodule of a name.
    """
    inner = _unwrapped(module)
    features: dict[str, Tensor] = {}
    with ExitStack() as stack:
        if isinstance(inner, (QuantizedModule, FloatModule)):
            _refuse_unknown(names, {str(v.name) for n in inner.graph.nodes for v in n.outputs}, "values")
            before, wanted, whole = inner.observe, frozenset(names), inner.graph.batched
            parts: dict[str, list[Tensor]] = {name: [] for name in wanted}  # for a network that runs sample by sample

            def observe(name: str, x: Tensor) -> None:
                if name in wanted:
                    if whole:
                        features[name] = x
                    else:
                        parts[name].append(x)
                if before is not None:
                    before(name, x)

            def finish(*_: Any) -> None:
                for name, pieces in parts.items():
                    features[name] = put_together(pieces)
                    pieces.clear()

            inner.observe = observe
            stack.callback(setattr, inner, "observe", before)
            if not whole:
                stack.callback(inner.register_forward_hook(finish).remove)
        else:
            submodules = dict(inner.named_modules())
            _refuse_unknown(names, submodules.keys(), "submodules")
            for name in names:
                stack.enter_context(submodules[name].register_forward_hook(_keeping(features, name)))
        yield features


def _keeping(features: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, arguments: Any, result: Any) -> None:
        features[name] = result

    return hook


def _refuse_unknown(names: Collection[str], known: Collection[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"capture: expected names of {what}, got {', '.join(unknown)}; there are {', '.join(known)}")


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside the wrappers of DDP and torch.compile."""
    while not isinstance(module, (QuantizedModule, FloatModule)):
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            inner = module.module
        if not isinstance(inner, nn.Module):
            break
        module = inner
    return module


def stage_ends(graph: Graph) -> list[str]:
    """Return the values at which features are usually compared: the last one of each resolution, in order.

    Args:
        graph: an image network; only values (N, C, positions ...) with more than one position are considered.
    """
    found: dict[tuple[int, ...], str] = {}
    for node in graph.nodes:
        value = node.outputs[0]
        size = shape(value)[2:]
        if max(size, default=1) > 1 and not is_output(value) and not _is_copy(node):
            found[size] = str(value.name)
    return list(found.values())


def _is_copy(node: ir.Node) -> bool:
    """Return whether a node is only a copy with another format for products (see `plan.separate_operands`)."""
    return node.op_type == "Clip" and clamp_bounds(node) == (-math.inf, math.inf)


def block_ends(graph: Graph) -> list[str]:
    """Return the block ends of a network in order: residual sums (after their activation) and `stage_ends`.

    Args:
        graph: an image network.
    """
    found = set(stage_ends(graph))
    for node in graph.nodes:
        if node.op_type == "Add" and all(v is not None and v.producer() is not None for v in node.inputs):
            users = consumers(node.outputs[0])
            activated = len(users) == 1 and facts(users[0].op_type).clamps
            found.add(str((users[0] if activated else node).outputs[0].name))
    return [str(v.name) for n in graph.nodes for v in n.outputs if v.name in found and not is_output(v)]
