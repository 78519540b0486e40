"""The entry point: arguments, exit status, and one line for every error that was foreseen."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from intaglio import __version__
from intaglio.errors import IntaglioError

COMMANDS = {
    "quantize": "quantize a trained float network and measure the integer program",
    "train": "train on with quantization in the forward path, and measure the integer program",
    "compile": "write a program as C for a machine, build it and test it",
    "run": "run a program on inputs",
    "evaluate": "measure the accuracy of a model or program on data",
    "compare": "compare two stages layer by layer",
    "sensitivity": "find the layers that quantization harms most",
    "survey": "measure every type of quantization with every method",
    "inspect": "show operators, coverage and reasons, and the cost of each term",
    "bench": "time a program beside other engines, and its steps",
    "targets": "list the hardware descriptions",
    "doctor": "show what is installed and what this machine can do",
}
"""Command -> one line. Each is a module of this folder with `add_arguments(parser)` and `run(args) -> int`."""


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are an error like any other: one line, exit status 1."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise SystemExit(_fail(f"{self.prog}: {message}; see `{self.prog} --help`"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of the process by default.
    Returns:
        The exit status: 0, or 1 after one line `error: ...` on standard error; 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(prog="intaglio", description="Engraves trained float networks into integer-only programs.")
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
    except IntaglioError as error:
        if "--debug" in argv:
            raise
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if "--debug" in argv or (error.name or "").startswith("intaglio"):
            raise
        return _fail(
            f"{command}: needs the package {error.name}, which is not installed; pip install 'intaglio[quantize]'"
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; say nothing more
        return 0
    except KeyboardInterrupt as stop:
        print(f"interrupted; {str(stop) or 'nothing was written'}", file=sys.stderr)
        return 130


def _module(command: str):  # type: ignore[no-untyped-def]
    return import_module(f"intaglio.cli.{command}_command")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1
