"""Einsum as sums, products and batched MatMul of two operands after the other.

Each letter of two operands is one of: shared (in both and kept), summed (in both and not kept), or of one side alone.

    A[shared, left, summed] @ B[shared, summed, right] = C[shared, left, right]

A letter of one side that nothing keeps is summed before. A first axis of the left side alone, where there are shared
ones, counts as shared and the right side broadcasts along it: it may be the batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting, is_float
from intaglio.graph.access import attribute, rank, shape


@dataclass(frozen=True)
class _Operand:
    """A value and the letter of each axis."""

    value: ir.Value
    letters: str

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.letters, shape(self.value), strict=True))


def einsum(to: Rewriting) -> None:
    """Rewrite Einsum; an equation with a diagonal (a letter twice in one operand) stays."""
    operands = [_Operand(value, "") for value in to.node.inputs if value is not None]
    terms, kept = _equation(str(attribute(to.node, "equation")), [rank(one.value) for one in operands])
    if any(len(set(term)) != len(term) for term in (*terms, kept)) or not all(is_float(o.value) for o in operands):
        return
    operands = [_Operand(one.value, term) for one, term in zip(operands, terms, strict=True)]
    result = operands.pop(0)
    while operands:
        right = operands.pop(0)
        later = kept + "".join(one.letters for one in operands)
        left, right = _summed(to, result, right.letters + later), _summed(to, right, result.letters + later)
        result = _product(to, left, right, later)
    result = _summed(to, result, kept)
    to.finish(to.transpose(result.value, [result.letters.index(letter) for letter in kept]))


def _equation(text: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Split an equation into one letter per axis: `...` becomes capital letters that no term has."""
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    spare = [chr(code) for code in range(0x391, 0x3C9)]
    widths = [full - len(term.replace("...", "")) for term, full in zip(terms, ranks, strict=True)]
    wide = max((width for term, width in zip(terms, widths, strict=True) if "..." in term), default=0)
    dots = "".join(spare[:wide])
    expanded = [
        term.replace("...", dots[wide - width :] if width else "") for term, width in zip(terms, widths, strict=True)
    ]
    if arrow:
        return expanded, right.replace("...", dots)
    letters = re.sub(r"[^A-Za-z]", "", left)
    return expanded, dots + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))


def _summed(to: Rewriting, operand: _Operand, needed: str) -> _Operand:
    """Sum over letters that nothing else needs."""
    axes = [axis for axis, letter in enumerate(operand.letters) if letter not in needed]
    if not axes:
        return operand
    value = to.apply("ReduceSum", operand.value, to.ints(axes, "axes"), keepdims=0)
    return _Operand(value, "".join(letter for letter in operand.letters if letter in needed))


def _product(to: Rewriting, left: _Operand, right: _Operand, later: str) -> _Operand:
    """Multiply two operands and sum over the letters that only they have."""
    if left.value.is_initializer() and not right.value.is_initializer():
        left, right = right, left
    both = [letter for letter in left.letters if letter in right.letters]
    shared = [letter for letter in both if letter in later]
    summed = [letter for letter in both if letter not in later]
    rows = [letter for letter in left.letters if letter not in both]
    columns = [letter for letter in right.letters if letter not in both]
    if not summed:
        order = [*left.letters, *columns]
        return _Operand(to.apply("Mul", *(_arranged(to, one, order) for one in (left, right))), "".join(order))
    left, right = _expanded(to, left, right, summed), _expanded(to, right, left, summed)
    if shared and rows and left.letters[0] == rows[0]:
        shared.insert(0, rows.pop(0))
    a = _arranged(to, left, [*shared, *rows, *summed])
    b = _arranged(to, right, [*shared, *summed, *columns])
    depth, width = (math.prod(right.sizes[letter] for letter in part) for part in (summed, columns))
    lead = shape(a)[: len(shared)]
    # Without shared letters the rows stay apart: a MatMul takes any number of axes in front of a matrix.
    height = [math.prod(left.sizes[letter] for letter in rows)] if shared else shape(a)[: len(rows)] or [1]
    a = to.reshape(a, [*lead, *height, depth])
    b = to.reshape(b, [*shape(b)[: len(shared)], depth, width])
    order = [*shared, *rows, *columns]
    sizes = [max(one.sizes.get(letter, 1) for one in (left, right)) for letter in order]
    return _Operand(to.reshape(to.apply("MatMul", a, b), sizes), "".join(order))


def _expanded(to: Rewriting, operand: _Operand, other: _Operand, letters: Sequence[str]) -> _Operand:
    """Repeat an operand along letters where it has size 1 and the other has more."""
    if all(operand.sizes[letter] >= other.sizes[letter] for letter in letters):
        return operand
    target = [
        max(size, other.sizes.get(letter, 1) if letter in letters else 1) for letter, size in operand.sizes.items()
    ]
    return _Operand(to.apply("Expand", operand.value, to.ints(target, "shape")), operand.letters)


def _arranged(to: Rewriting, operand: _Operand, order: Sequence[str]) -> ir.Value:
    """Bring an operand to an order of letters, with axes of size 1 for those that it does not have."""
    own = [letter for letter in order if letter in operand.letters]
    turned = to.transpose(operand.value, [operand.letters.index(letter) for letter in own])
    return to.reshape(turned, [operand.sizes.get(letter, 1) for letter in order])
