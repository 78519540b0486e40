"""`intaglio compile --app DATA`: the C application around the model, as DATA says."""

from __future__ import annotations

import argparse
from pathlib import Path

from intaglio.app.application import Application, make_application
from intaglio.cli.picture_options import described
from intaglio.codegen.machine import Machine
from intaglio.data import open_data
from intaglio.data.pictures import Descriptor
from intaglio.errors import CompileError, UsageError
from intaglio.program import Program

HELP = (
    "also write main.c, which reads a file (PPM, WAV, or CSV where DATA are arrays), prepares it as DATA says, runs "
    "the model and prints what it found; DATA as for quantize, a .toml descriptor for instance"
)

_READ_LATER = (".csv", ".ppm", ".pgm", ".wav")


def application(program: Program, target: Machine, args: argparse.Namespace) -> Application | None:
    """Make the application that `--app DATA` asks for, if it is given.

    Raises:
        CompileError, DataError, UsageError: the data cannot be read, or do not fit the model.
    """
    (data,) = described(args, args.app)
    if data is None:
        return None
    if isinstance(data, str) and Path(data).suffix.lower() in _READ_LATER:
        raise UsageError(
            f"--app {data}: expected data as for quantize, such as a .toml descriptor, got a file that the program "
            "reads; give it to the program when it is built"
        )
    if isinstance(data, str) and Path(data).suffix.lower() == ".toml":
        from intaglio.data.descriptor import read_descriptor  # here, since a core install has no pydantic

        data = read_descriptor(Path(data))
    postprocess = data.postprocess if isinstance(data, Descriptor) else None
    try:
        return make_application(program, target, args.name, open_data(data), postprocess)
    except CompileError as error:
        raise UsageError(f"--app {args.app}: {error}") from error
