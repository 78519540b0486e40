"""Put a C application together: `main.c`, readers, and the settings that say what this model needs of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from intaglio.app.box_output import box_output
from intaglio.app.class_output import class_output
from intaglio.app.csv_input import csv_example, csv_input
from intaglio.app.number_output import number_output
from intaglio.app.picture_input import picture_example, picture_input
from intaglio.app.pieces import SOURCES, Example, Piece, c_string
from intaglio.app.sound_input import sound_example, sound_input
from intaglio.codegen.machine import Machine
from intaglio.codegen.stream_functions import argument_names
from intaglio.codegen.text import LONG_STRINGS
from intaglio.data.dataset import Dataset, match
from intaglio.data.images import PictureSource
from intaglio.data.postprocess import BoxOutput, ClassOutput, NumberOutput, Postprocess
from intaglio.data.sounds import SoundFolder
from intaglio.errors import CompileError
from intaglio.program import Program, TensorInfo
from intaglio.samples import sample_shape


@dataclass(frozen=True)
class Application:
    """C application around a model.

    Args:
        files: its files: name -> text.
        sources: names of its C files, without those of the model.
        example: file that it can read.
    """

    files: dict[str, str]
    sources: tuple[str, ...]
    example: Example

    @property
    def example_name(self) -> str:
        """Name of the example in the folder."""
        return f"example{self.example.suffix}"


def make_application(
    program: Program, machine: Machine, prefix: str, data: Dataset, postprocess: Postprocess | None = None
) -> Application:
    """Make the application of a Program.

    Args:
        program: a Program with one input.
        machine: the machine.
        prefix: prefix of the model's public names.
        data: data as the model takes it: how files are prepared, the names of classes, and the example (its first
            sample).
        postprocess: what the outputs mean; None: classes if the only output is a row of scores, otherwise numbers.
    Raises:
        CompileError: the model does not fit the data or the postprocessing.
    """
    if len(program.inputs) != 1:
        raise CompileError(
            f"application: expected a model with 1 input, which a file can hold, got {len(program.inputs)} "
            f"({', '.join(program.inputs)}); compile it without --app and call {prefix}_run from your own C, as "
            f"{prefix}.h and selftest.c show"
        )
    info = program.tensors[program.inputs[0]]
    reader, example = _reader(info, data, batched=program.batched, files=machine.threads)
    shower = _shower(program, postprocess, data.class_names)
    names = ("app_text", *reader.sources, *shower.sources)
    files = {f"{name}{end}": (SOURCES / f"{name}{end}").read_text() for name in names for end in (".h", ".c")}
    sources = ["main.c", "app_settings.c", *(f"{name}.c" for name in names)]
    files |= {f"{name}.h": (SOURCES / f"{name}.h").read_text() for name in reader.headers}
    files["main.c"] = (SOURCES / "main.c").read_text()
    if not machine.threads:
        files["input.c"] = (SOURCES / "input.c").read_text()
        sources.append("input.c")
    files["app_settings.h"] = _header(prefix, reader, shower, f"example{example.suffix}", files=machine.threads)
    files["app_settings.c"] = _source(program, prefix, reader, shower)
    return Application(files, tuple(sources), example)


def _reader(info: TensorInfo, data: Dataset, *, batched: bool, files: bool) -> tuple[Piece, Example]:
    """Make the piece that reads files, and an example: the first sample, which has to fit the model."""
    source = data.source
    if isinstance(source, PictureSource):
        source = source.for_inputs({info.name: sample_shape(info.shape, batched=batched)})
        piece = picture_input(info, source.preprocess, files=files)
        match(data, {info.name: info.shape}, batched=batched)
        return piece, picture_example(source.picture())
    if isinstance(source, SoundFolder):
        piece = sound_input(info, source)
        match(data, {info.name: info.shape}, batched=batched)
        return piece, sound_example(source)
    x, _ = match(data, {info.name: info.shape}, batched=batched).peek()
    assert isinstance(x, np.ndarray)
    return csv_input(info), csv_example(x[0])


def _shower(program: Program, postprocess: Postprocess | None, names: tuple[str, ...] | None) -> Piece:
    """Make the piece that shows the outputs."""
    if postprocess is None:
        shape = program.tensors[program.outputs[0]].shape
        row = len(program.outputs) == 1 and math.prod(shape) == shape[-1] > 1
        postprocess = ClassOutput() if row else NumberOutput()
    if isinstance(postprocess, NumberOutput):
        return number_output(program)
    if isinstance(postprocess, BoxOutput):
        return box_output(program, postprocess, names)
    outputs = program.outputs
    if postprocess.output is None and len(outputs) != 1:
        raise CompileError(f"[postprocess] output: expected one of {', '.join(outputs)}, got none")
    if postprocess.output is not None and postprocess.output not in outputs:
        raise CompileError(f"[postprocess] output: expected one of {', '.join(outputs)}, got {postprocess.output!r}")
    which = 0 if postprocess.output is None else outputs.index(postprocess.output)
    return class_output(program, which, postprocess, names)


def _header(prefix: str, reader: Piece, shower: Piece, example: str, *, files: bool) -> str:
    macros = {"APP_FILES": int(files), "APP_EXAMPLE": c_string(example), **reader.macros, **shower.macros}
    defines = "".join(f"#ifndef {name}\n#define {name} {value}\n#endif\n" for name, value in macros.items())
    return f"""/* Written by Intaglio: what main.c and the readers need to know about this model. */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include "{prefix}.h"
#include "app_text.h"

{defines}
typedef {prefix.upper()}_INPUT_TYPE app_input; /* a code of the model's input */

/* Read a file's bytes into the input of the model. Returns 0, or -1 with the reason in `error`. */
int app_prepare(const unsigned char *bytes, size_t size, struct app_text *error);

/* Run the model on that input. Returns the status of {prefix}_run. */
int app_run(void);

/* Print what the outputs mean. */
void app_show(void (*print)(const char *text));

#endif
"""


def _memory(m: str, name: str) -> str:
    """Generate the memory of an input or output: its place in the arena, where it has one."""
    prefix = f"{m}_{name.upper()}"
    return f"""
#ifdef {prefix}_OFFSET
static {prefix}_TYPE *const {name} = ({prefix}_TYPE *)(void *)(arena + {prefix}_OFFSET);
#else
static {prefix}_TYPE {name}[{prefix}_ELEMENTS];
#endif
"""


def _source(program: Program, prefix: str, reader: Piece, shower: Piece) -> str:
    m = prefix.upper()
    outputs = argument_names([program.tensors[name] for name in program.outputs], "output")
    arrays = "".join(_memory(m, name) for name in ("input", *outputs))
    codes = "".join(
        f"\nstatic int32_t code{i}(int32_t at) {{ return {o}[at]; }}\n"
        for i, o in enumerate(outputs)
        if f"code{i}" in shower.body
    )
    includes = "".join(f'#include "{name}.h"\n' for name in sorted({reader.sources[-1], *shower.sources}))
    return f"""/* Written by Intaglio: the tables of main.c and the readers, and the memory of the model. */
#include "app_settings.h"
{includes}
{LONG_STRINGS}
static _Alignas({m}_ALIGNMENT) unsigned char arena[{m}_ARENA_BYTES];
{arrays}
{reader.tables}
{shower.tables}{codes}
int app_prepare(const unsigned char *bytes, size_t size, struct app_text *error)
{{
{reader.body}}}

int app_run(void) {{ return {prefix}_run(input, {", ".join(outputs)}, arena, sizeof arena); }}

void app_show(void (*print)(const char *text))
{{
{shower.body}}}
"""
