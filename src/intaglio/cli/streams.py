"""Standard output and error that survive a closed pipe or full disk: text that cannot be written is dropped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast


class Outlet:
    """Text stream that drops all text after the first write error; `lost` keeps that error.

    A reader that closes its end (`| head -1`), a full disk or a closed descriptor must not cost the result of a job
    that only reports its progress there.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write text; characters that the stream's encoding cannot express become escapes."""
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer."""
        try:
            self.stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Point the descriptor at the null device: buffered text would raise again when Python exits."""
        self.lost = self.lost or error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def outlets() -> Iterator[Outlet]:
    """Replace standard output and error by outlets while a command runs; yield the one of standard output."""
    with open(os.devnull, "w", encoding="utf-8") as null:
        out, err = Outlet(sys.stdout or null), Outlet(sys.stderr or null)  # None where the descriptor is closed
        with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, err)):
            try:
                yield out
            finally:
                out.flush()
                err.flush()
