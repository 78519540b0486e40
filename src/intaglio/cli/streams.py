"""Standard output and error that do not end a job: when nobody takes the text any more, it is dropped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast


class Outlet:
    """A text stream that goes quiet at the first error of writing; `lost` keeps that error.

    A reader that closes its end (`| head -1`), a full disk or a closed descriptor must not cost the result of a job
    that only reports its progress there.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write; characters that the stream's encoding lacks become escapes."""
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what is buffered."""
        try:
            self.stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Point the descriptor at the null device: what is buffered would raise again when Python ends."""
        self.lost = self.lost or error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def outlets() -> Iterator[Outlet]:
    """Standard output and error as outlets while a command runs; yields that of standard output."""
    with open(os.devnull, "w", encoding="utf-8") as null:
        out, err = Outlet(sys.stdout or null), Outlet(sys.stderr or null)  # None where the descriptor is closed
        with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, err)):
            try:
                yield out
            finally:
                out.flush()
                err.flush()
