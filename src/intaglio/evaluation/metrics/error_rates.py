"""Word and character error rate of recognized text, in percent.

    rate = 100 * (substitutions + deletions + insertions) / (words or characters of the labels)

Scores of characters over time are decoded greedily as CTC: the best character of each step; repeated ones once; blanks
left out. Lower is better. RapidFuzz counts the edits.

Sources: Levenshtein 1966, Soviet Physics Doklady 10 (8); Graves et al. 2006, "Connectionist temporal classification",
ICML, section 3.2 (best path decoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data.extras import load_extra
from intaglio.errors import DataError
from intaglio.evaluation.metric import Counted, Metric, Outputs, Targets

Array = NDArray[Any]
BLANKS = ("<blank>", "[blank]", "<pad>", "[PAD]")
"""Names of the blank of CTC; without any of them class 0 is the blank."""
SPACES = ("|", "<space>", "[space]")
"""Names of characters that stand for a space."""


def word_error_rate(characters: Sequence[str] | None = None, blank: int | None = None) -> Metric:
    """Return the word error rate (WER).

    Args:
        characters: of the classes 0, 1, ...; None: the names of classes in the data.
        blank: class of the blank; None: the first of `BLANKS` among the characters, else 0.
    """
    return _rate("wer", characters, blank)


def character_error_rate(characters: Sequence[str] | None = None, blank: int | None = None) -> Metric:
    """Return the character error rate (CER). Without characters, labels are sequences of classes, padded with -1.

    Args:
        characters, blank: see `word_error_rate`.
    """
    return _rate("cer", characters, blank)


def _rate(name: str, characters: Sequence[str] | None, blank: int | None) -> Metric:
    known = None if characters is None else tuple(characters)
    if blank is None:
        blank = next((known.index(b) for b in BLANKS if b in known), 0) if known else 0
    count = partial(_count, name, known, blank)
    identity = "" if known is None else f"{known} {blank}"
    metric = Metric(name, Counted(count, _finish), higher_is_better=False, unit="%", identity=identity)
    if known is not None:
        return metric
    return replace(metric, named=lambda names: replace(_rate(name, names, None), identity=""))


def _count(name: str, characters: tuple[str, ...] | None, blank: int, outputs: Outputs, targets: Targets) -> Array:
    library = load_extra("rapidfuzz.distance", "RapidFuzz", f"compute {name}", "metrics")
    rows = list(targets)
    texts = all(isinstance(row, str) for row in rows)
    if characters is None and (texts or name == "wer"):
        raise DataError(
            f"{name}: expected names of the classes, which are the characters of the text, got none; name a file with "
            "one a line under `classes` of the data descriptor, or give the characters in Python"
        )
    edits = length = 0
    for row, codes in zip(rows, decode(outputs[0], blank), strict=True):
        wanted: Any = row if texts else [int(c) for c in np.ravel(row) if c >= 0 and c != blank]
        got: Any = codes
        if characters is not None:
            wanted, got = (part if isinstance(part, str) else _text(part, characters) for part in (wanted, got))
            if name == "wer":
                wanted, got = wanted.split(), got.split()
        edits += library.Levenshtein.distance(wanted, got)
        length += len(wanted)
    return np.array([edits, length], np.float64)


def decode(y: Array, blank: int) -> list[list[int]]:
    """Decode outputs to sequences of classes.

    Args:
        y: scores (N, T, classes), by CTC; or classes (N, T), taken as they are, without blanks and negative ones.
        blank: class of the blank.
    """
    if y.ndim == 2:
        return [[int(c) for c in np.rint(row) if c >= 0 and c != blank] for row in y]
    if y.ndim != 3:
        raise DataError(f"text: expected outputs (N, T, classes) or classes (N, T), got shape {y.shape}")
    best = y.argmax(axis=2)
    changes = np.concatenate([np.ones((len(best), 1), bool), best[:, 1:] != best[:, :-1]], axis=1)
    return [row[keep].tolist() for row, keep in zip(best, changes & (best != blank), strict=True)]


def _text(codes: Sequence[int], characters: tuple[str, ...]) -> str:
    if codes and max(codes) >= len(characters):
        raise DataError(f"text: expected a name for each class, got {len(characters)} names and class {max(codes)}")
    return "".join(" " if characters[c] in SPACES else characters[c] for c in codes)


def _finish(sums: Array) -> float:
    return float(100.0 * sums[0] / sums[1]) if sums.ndim and sums[1] else float("nan")
