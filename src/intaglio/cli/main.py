"""Entry point: parse arguments, run the command, turn expected errors into one line and an exit status."""

from __future__ import annotations

import argparse
import errno
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from intaglio import __version__
from intaglio.cli.streams import outlets
from intaglio.errors import IntaglioError

COMMANDS = {
    "quantize": "quantize a trained float network and measure the integer program",
    "train": "train a network with quantization in the forward pass, and measure the integer program",
    "compile": "write a program as C for a machine, build it and test it",
    "run": "run a program on inputs",
    "evaluate": "measure the accuracy of a model or program on data",
    "compare": "compare two models layer by layer",
    "sensitivity": "find the layers that lose most accuracy by quantization",
    "survey": "measure one or several networks in many number formats with many methods",
    "inspect": "show a model's operators and formats, or a program's costs and memory",
    "bench": "compare a program's latency with other engines, and profile its steps",
    "sample": "write a small trained network with calibration and test data",
    "targets": "list the hardware targets",
    "doctor": "show installed packages, compilers and instruction sets",
}
"""Command -> one-line summary. `NAME_command.py` has `add_arguments(parser)` and `run(args) -> int`."""

_ADVICE = {
    errno.ENOSPC: "; free some space and start again",
    errno.EDQUOT: "; free some space and start again",
    errno.EACCES: "; choose a place that you may read and write",
    errno.EPERM: "; choose a place that you may read and write",
    errno.EROFS: "; choose a place that you may read and write",
    errno.EMFILE: "; raise the limit of open files (ulimit -n)",
}


OTHER_NAMES = {"--target": "--machine", "--machine": "--target"}
"""Options that are confused: a target has number formats, a machine runs the C code."""


class _Parser(argparse.ArgumentParser):
    """Argument parser that reports wrong arguments like other errors: one line, exit status 1."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Parse; a command refuses what it does not know itself, so that the message names the command."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}{self._advice(left)}")
        return found, left

    def _advice(self, left: Sequence[str]) -> str:
        if all(word.replace(".", "").isdigit() for word in left):
            return " (several numbers are one argument: with commas, without spaces)"
        known = [option for option in self._option_string_actions if option.startswith("--")]
        word = left[0].partition("=")[0]
        other = OTHER_NAMES.get(word)
        if other in known:
            return f" (did you mean {other}?)"
        close = get_close_matches(word.strip("-"), [option.strip("-") for option in known], n=1)
        return f" (did you mean --{close[0]}?)" if close else ""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise SystemExit(_fail(f"{self.prog}: {_plain(message)}; see `{self.prog} --help`"))


def _plain(message: str) -> str:
    """Say what argparse says of a value as our other messages do; other messages stay as they are."""
    kind = re.fullmatch(r"argument (\S+): invalid (int|float) value: (.*)", message)
    if kind is not None:
        return f"{kind[1]}: expected a {'whole ' * (kind[2] == 'int')}number, got {kind[3]}"
    choice = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message)
    if choice is None:
        return message
    known = choice[3].replace("'", "").split(", ")
    close = get_close_matches(choice[2], known, n=1)
    nearest = f"; did you mean {close[0]}?" if close else ""
    return f"{choice[1]}: expected one of {', '.join(known)}, got {choice[2]!r}{nearest}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; default: those of the process.
    Returns:
        The exit status: 0, or 1 after one line `error: ...` on standard error; 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with outlets() as out:
        status = _run(argv)
        out.flush()
        if status == 0 and out.lost is not None and not isinstance(out.lost, BrokenPipeError):
            return _fail(f"standard output: {out.lost.strerror}; the printed text is lost, all files are complete")
        return status


def _run(argv: list[str]) -> int:
    parser = _Parser(prog="intaglio", description="Convert trained float networks into integer-only programs.")
    parser.add_argument("--version", action="version", version=f"intaglio {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = "intaglio"
    try:
        for name, summary in COMMANDS.items():
            sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
            if name in argv:  # load only what is asked for: `intaglio run` needs neither PyTorch nor ONNX
                command = name
                _module(name).add_arguments(sub)
        args = parser.parse_args(argv)
        return int(_module(args.command).run(args))
    except KeyboardInterrupt as stop:
        print(f"interrupted; {str(stop) or 'nothing was written'}", file=sys.stderr)
        return 130
    except Exception as error:
        text = _foreseen(error)
        if text is None or "--debug" in argv:
            raise
        return _fail(text if isinstance(error, IntaglioError) else f"{command}: {text}")


def _foreseen(error: Exception) -> str | None:
    """Return the message for an expected error; None for a bug of ours, which keeps its traceback."""
    if isinstance(error, IntaglioError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("intaglio"):
        return f"needs the package {error.name}, which is not installed; pip install 'intaglio[quantize]'"
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror or _line(error)}{_ADVICE.get(error.errno or 0, '')}"
    if isinstance(error, MemoryError) or _is_allocation(error):
        return f"out of memory ({_line(error)}); use fewer samples, a smaller batch or a machine with more memory"
    if isinstance(error, RecursionError):
        return f"expected a model or file that is nested less deeply, got: {_line(error)}; --debug shows where"
    if isinstance(error, UnicodeError):
        return f"expected text in UTF-8, got: {_line(error)}; --debug shows which file"
    return None


def _is_allocation(error: Exception) -> bool:
    """Recognise PyTorch's out-of-memory errors: RuntimeError on the CPU, OutOfMemoryError on a GPU."""
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _module(command: str):  # type: ignore[no-untyped-def]
    return import_module(f"intaglio.cli.{command}_command")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1
