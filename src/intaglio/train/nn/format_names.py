"""Formats of the operands of quantized layers, as short text.

| text | what it means |
| --- | --- |
| `int4n symmetric channel` | type, scheme, and one scale per output channel of a weight (`tensor`: one for all) |
| `int8 power of two` | a scale 2**k |
| `uint8` | the scheme that goes with the type: asymmetric where it is unsigned |
| `w4a8` | int4n for a weight, uint8 for a value, as the built-in target of this name has them |
| `ternary`, `binary` | int2n (-1, 0, +1) and bipolar (-1, +1), for weights |
"""

from __future__ import annotations

import re
from typing import Literal

from intaglio.errors import UsageError
from intaglio.number import Granularity, IntType, PerChannel, PerTensor, Scheme
from intaglio.plan import Format

Operand = Literal["weight", "value"]
_SHORT = re.compile(r"(?:w(\d+))?(?:a(\d+))?")
_OTHER_NAMES = {"ternary": "int2n", "binary": "bipolar"}


def weight_format(given: Format | str) -> Format:
    """The format of a weight: symmetric with one scale per output channel where the text says no more.

    Raises:
        UsageError: the text is no format, or one with scales that integers cannot use.
    """
    found = given if isinstance(given, Format) else _parsed(given, "weight")
    if found.granularity not in (PerTensor(), PerChannel(0)):
        raise UsageError(f"format of a weight: expected one scale, or one per output channel, got {found.granularity}")
    return found


def value_format(given: Format | str) -> Format:
    """The format of a computed value; it has one scale.

    Raises:
        UsageError: the text is no format, or one with several scales.
    """
    found = given if isinstance(given, Format) else _parsed(given, "value")
    if found.type.bipolar:
        raise UsageError(f"format {str(given)!r}: expected more than one bit, got {found}; use the layer Sign")
    if not isinstance(found.granularity, PerTensor):
        raise UsageError(f"format {str(given)!r}: expected one scale for a computed value, got {found}; leave it out")
    return found


def _parsed(text: str, operand: Operand) -> Format:
    words = [word for word in text.replace("_", " ").replace("-", " ").split() if word != "per"]
    if not words:
        raise _no_format(text)
    kind = _type(text, words.pop(0), operand)
    scheme = _scheme(words) or (Scheme.SYMMETRIC if kind.signed else Scheme.ASYMMETRIC)
    granularity: Granularity = PerTensor() if operand == "value" else PerChannel(0)
    match words:
        case []:
            pass
        case ["tensor"]:
            granularity = PerTensor()
        case ["channel"]:
            granularity = PerChannel(0)
        case _:
            raise _no_format(text)
    return Format(kind, scheme, granularity)


def _type(text: str, word: str, operand: Operand) -> IntType:
    short = _SHORT.fullmatch(word)
    try:
        if short is None:
            return IntType.parse(_OTHER_NAMES.get(word, word))
        bits = short[1] if operand == "weight" else short[2]
        if bits is None:
            letter = "w" if operand == "weight" else "a"
            raise UsageError(f"expected the bits of a {operand}, {letter}8 or w8a8")
        if int(bits) == 1:
            return IntType.parse("bipolar")
        if operand == "weight":
            return IntType(int(bits), narrow=int(bits) > 2)
        return IntType(int(bits), signed=int(bits) > 8)
    except UsageError as error:
        raise UsageError(f"format {text!r}: {error}") from None


def _scheme(words: list[str]) -> Scheme | None:
    """The scheme at the head of the words, which loses it."""
    if words[:1] in (["symmetric"], ["asymmetric"]):
        return Scheme(words.pop(0))
    if words[:3] == ["power", "of", "two"]:
        del words[:3]
        return Scheme.POWER_OF_TWO
    return None


def _no_format(text: str) -> UsageError:
    return UsageError(
        f"format {text!r}: expected text such as 'int4n symmetric channel', 'uint8 asymmetric' or 'w4a8', "
        "or an intaglio.plan.Format"
    )
