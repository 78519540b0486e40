"""Embed the plotting library in the page: Plotly.js from the Python package `plotly`.

Its 4.8 MB are stored compressed (2 MB of base64) and decompressed by the browser. The page's Content-Security-Policy
contains the library's hash, so no other script can run in its place.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class PackedScript:
    """Script compressed with gzip, as base64, and its hash for the Content-Security-Policy."""

    packed: str
    hash: str


@lru_cache(maxsize=1)
def plotting_library() -> PackedScript | None:
    """Return Plotly.js; None if `plotly` is not installed, and the page then has no interactive plots."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    script: str = get_plotlyjs()
    packed = base64.b64encode(gzip.compress(script.encode(), 6, mtime=0)).decode()
    return PackedScript(packed, script_hash(script))


def script_hash(script: str) -> str:
    """Return the hash that allows an inline script in a Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
