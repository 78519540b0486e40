"""What an error of pydantic says, in the words of our own messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 60  # characters of a value that is shown

_EXPECTED = {
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "string_too_short": "a text of at least {min_length} characters",
    "bool_type": "true or false",
    "list_type": "a list",
    "too_short": "a list of at least {min_length} entries",
    "too_long": "a list of at most {max_length} entries",
    "dict_type": "a table of keys",
    "model_type": "a table of keys",
    "missing": "a value",
}
"""Type of an error -> what was expected, with the numbers of its context."""


def schema_error(error: Mapping[str, Any]) -> str:
    """Say what was expected and what was given: one of `ValidationError.errors()`, without its place."""
    kind = error["type"]
    if kind == "value_error":  # raised by us; the text has the value
        return str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return "unknown key"
    known = _EXPECTED.get(kind)
    if known is None:
        wanted = str(error["msg"]).removeprefix("Input should be ")
    else:
        wanted = known.format(**error.get("ctx", {}))
    return f"expected {wanted}, got {'none' if kind == 'missing' else _short(error['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
