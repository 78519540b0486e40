"""Run a function in a process of its own, with limits of time and memory: a crash or a hang is an answer, too.

The process is forked, so that what the caller has imported need not be imported again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

POLL = 0.2
"""Seconds between two looks at the memory of the process."""

Tell = Callable[[dict[str, Any]], None]
"""Sends what is known so far to the caller."""


@dataclass(frozen=True)
class Outcome:
    """What became of the process.

    Args:
        told: everything that it told, merged; later values replace earlier ones.
        failure: empty if the function returned; else what ended it: a signal, a limit, or an exception's type and text.
        seconds: from start to end.
        megabytes: most resident memory that was seen, imported libraries included.
    """

    told: dict[str, Any]
    failure: str
    seconds: float
    megabytes: int


def run(function: Callable[[Tell], None], *, seconds: float, megabytes: int) -> Outcome:
    """Call `function(tell)` in a forked process and wait for its end.

    Args:
        function: what to call; it passes what it found to `tell`.
        seconds, megabytes: its limits. Beyond one of them, the process and those that it started are killed.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(function, theirs))
    start = time.monotonic()
    process.start()
    theirs.close()
    told: dict[str, Any] = {}
    most, failure = 0, ""
    while not failure:
        try:
            if ours.poll(POLL):
                told |= ours.recv()
        except EOFError:
            break
        most = max(most, _resident(process.pid))
        if time.monotonic() - start > seconds:
            failure = f"killed: more than {seconds:g} s"
        elif most > megabytes:
            failure = f"killed: more than {megabytes:,} MB of memory"
    if failure:
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    if not failure and process.exitcode:
        signaled = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"status {process.exitcode}"
        failure = f"crashed: {signaled}"
    return Outcome(told, told.pop("exception", "") or failure, time.monotonic() - start, most)


def _child(function: Callable[[Tell], None], connection: Connection) -> None:
    os.setsid()  # so that compilers that it starts are killed with it
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    try:
        function(connection.send)
    except Exception as error:  # every failure is a row of the page
        connection.send({"exception": f"{type(error).__name__}: {error}"})
    connection.close()


def _resident(pid: int | None) -> int:
    """The resident memory of a process in MB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
