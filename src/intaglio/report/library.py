"""The plotting library, packed into the page: Plotly.js as the Python package `plotly` brings it.

Its 4.8 MB are stored compressed (2 MB as text) and unpacked by the browser itself. The page's policy names the
library's hash, so nothing else can take its place.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Library:
    """A script: compressed by gzip, as base64; and the hash that a policy allows it by."""

    packed: str
    hash: str


@lru_cache(maxsize=1)
def plotting_library() -> Library | None:
    """Plotly.js; None where `plotly` is not installed, and the page then does without interactive plots."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    script: str = get_plotlyjs()
    packed = base64.b64encode(gzip.compress(script.encode(), 6, mtime=0)).decode()
    return Library(packed, script_hash(script))


def script_hash(script: str) -> str:
    """The hash by which a Content-Security-Policy allows an inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
