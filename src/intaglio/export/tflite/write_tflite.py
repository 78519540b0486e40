"""Write a Program as a .tflite file whose integers LiteRT's reference kernels compute.

Each integer operator has a row that writes the TFLite operator with the same integers, or refuses. The file holds
scales, from which LiteRT computes its factors; a row checks that these are the Program's. Images are channels-last, as
in the Program: a network with channels-first inputs or outputs has a TRANSPOSE at these ends and none between.
"""

from __future__ import annotations

import os
from pathlib import Path

from intaglio.errors import ExportError, LoweringError
from intaglio.export.tflite import element_rows, move_rows, product_rows, window_rows
from intaglio.export.tflite.file_content import file_content
from intaglio.export.tflite.flat_tables import FlatTables
from intaglio.export.tflite.rows import Row
from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.files import whole_file
from intaglio.number import Rule
from intaglio.program import Program
from intaglio.program.operators.transpose import Transpose

ROWS: dict[str, Row] = {**element_rows.ROWS, **move_rows.ROWS, **product_rows.ROWS, **window_rows.ROWS}
"""By the kind of integer operator."""
_NONE = "TFLite has no integer kernel for it"
_OTHER = "TFLite's kernel rounds in other places"
REFUSED = {
    "clamp_channels": _NONE,
    "div": _OTHER,
    "dynamic_masked_softmax": _NONE,
    "embedding_lookup": "TFLite's kernel counts no index from the end",
    "gather_elements": "TFLite has no kernel that takes one element for each index along an axis",
    "gru": _NONE,
    "integer_arithmetic": "TFLite's kernels of plain integers do not saturate",
    "integer_cumsum": "TFLite's kernels of plain integers do not saturate",
    "layer_norm": _NONE,
    "lstm": _OTHER,
    "masked_softmax": _NONE,
    "prelu": _OTHER,
    "reduce_square": _NONE,
    "relation": "its operands and its result of 0 or 1 have no counterpart in TFLite's kernels",
    "resize_bilinear": "TFLite's kernel takes positions as multiples of a 10-bit ratio",
    "rnn": _NONE,
    "select": "its condition of 0 or 1 has no counterpart in TFLite's kernels",
    "softmax": "TFLite's kernel takes 8 bits and less than 4096 elements",
}
"""Other kinds, with the reason why they have no row."""
_LARGEST = 2**31 - 1  # bytes of a flatbuffer


def export_tflite(program: Program, path: str | os.PathLike[str]) -> None:
    """Write a .tflite file, atomically.

    Args:
        program: an integer program with the rounding rule `tflite`, as the target tflite-int8 gives.
        path: the file.
    Raises:
        ExportError: the program has another rounding rule, or operators with other integers than TFLite's, of which all
            are listed; no package with the schema is installed; or the file cannot be written.
    """
    target = Path(path)
    content = tflite_content(program)
    try:
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a directory")
        with whole_file(target) as written:
            written.write_bytes(content)
            _check_loads(target, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{target}: expected to write the TFLite model here, got: {reason}") from error


def tflite_content(program: Program) -> bytes:
    """Return the file that `export_tflite` writes.

    Raises:
        ExportError: see there.
    """
    check_tflite_rule(program.rule, program.target)
    file, problems = TfliteFile(program), []
    for node in program.nodes:
        try:
            row = ROWS.get(node.operator.kind)
            if row is None:
                raise ExportError(
                    "expected an operator of which a TFLite kernel gives the same integers, got this one: "
                    f"{REFUSED[node.operator.kind]}; replace it in the network, or run the program as .intaglio or C"
                )
            row(file, node)
        except (ExportError, LoweringError) as error:
            problems.append(f"[{node.operator.kind} {node.name!r}] {error}")
    if problems:
        raise ExportError("\n  - ".join(["this program cannot be written as TFLite:", *problems]))
    if sum(len(data) for data in file.contents) > _LARGEST - 2**24:
        raise ExportError("TFLite: expected a file below 2 GB, got more; save the program as .intaglio")
    return file_content(file, layouts(program))


def check_tflite_rule(rule: Rule, target: str) -> None:
    """Check that programs of a target round as TFLite does, and that a package with the schema is installed.

    Raises:
        ExportError: they do not; or there is none.
    """
    if rule is not Rule.TFLITE:
        raise ExportError(
            f"TFLite: expected a program with the rounding rule tflite, got {rule.value} (target {target}); quantize "
            "for the target tflite-int8"
        )
    FlatTables()


def layouts(program: Program) -> dict[str, str]:
    """Name the order of axes of inputs and outputs that are images: NCHW where a transpose leads to them, else NHWC."""
    found: dict[str, str] = {}
    for node in program.nodes:
        transposes = isinstance(node.operator, Transpose)
        for name in (*node.inputs, node.output):
            if name in (*program.inputs, *program.outputs) and len(program.tensors[name].shape) == 4:
                found[name] = "NCHW" if transposes or found.get(name) == "NCHW" else "NHWC"
    return found


def _check_loads(target: Path, content: bytes) -> None:
    """Load the file in LiteRT, if it is installed."""
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError:  # the check is optional
        return
    try:
        litert.Interpreter(model_content=content).allocate_tensors()
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:400]
        raise ExportError(f"{target}: expected LiteRT to load the model, got: {text}") from error
