"""Parse the formats of quantized layers' operands from short texts.

| text | what it means |
| --- | --- |
| `int4n symmetric channel` | type, scheme, and one scale per output channel of a weight (`tensor`: one for all) |
| `int8 power of two` | a scale 2**k |
| `uint8` | default scheme of the type: asymmetric if unsigned, symmetric if signed |
| `w4a8` | int4n for a weight, uint8 for a value, as in the built-in target of this name |
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
    """Parse the format of a weight; default: symmetric, one scale per output channel.

    Raises:
        UsageError: the text is not a format, or the scales are not per tensor or per output channel.
    """
    found = given if isinstance(given, Format) else _parsed(given, "weight")
    if found.granularity not in (PerTensor(), PerChannel(0)):
        raise UsageError(f"format of a weight: expected one scale, or one per output channel, got {found.granularity}")
    return found


def value_format(given: Format | str) -> Format:
    """Parse the format of a computed value, which has one scale.

    Raises:
        UsageError: the text is not a format, has several scales, or has one bit.
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
    """Remove the scheme from the start of the words and return it; None if there is none."""
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
