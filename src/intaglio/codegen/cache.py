"""Cache of compiled native libraries.

Each build has its own folder, named by the SHA-256 of everything that it depends on, and is written atomically. So
builds cannot be confused, not even by a dynamic loader that caches paths, and several processes may build the same
library at the same time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from intaglio.codegen.build import model_files, write
from intaglio.codegen.model import Model
from intaglio.codegen.toolchain import OPTIMIZE, Compiler, compile_library, find_compiler
from intaglio.errors import CompileError
from intaglio.files import Digest, whole_tree

RUNTIME = Path(__file__).parent / "runtime"


def build_library(model: Model, directory: Path, cc: str | None = None) -> Path:
    """Build the shared library of a model, unless the same build exists.

    Args:
        model: model from `build.plan`.
        directory: parent folder of the builds.
        cc: see `toolchain.find_compiler`.
    Returns:
        Path of the library.
    Raises:
        CompileError: there is no compiler, it fails, or the folder cannot be written.
    """
    compiler = find_compiler(model.machine, cc)
    files = library_files(model)
    folder = directory / f"{model.prefix}-{_digest(files, compiler)}"
    kept = sorted(folder.glob(f"lib{model.prefix}.*"))
    if kept:
        return kept[0]
    try:
        with whole_tree(folder, keep=True) as temporary:
            write(files, temporary)
            library = compile_library(temporary, model.machine, cc, prefix=model.prefix).name
            if not (temporary / library).is_file():
                raise CompileError(f"compiler {compiler.text}: it wrote no library and no error; name another one")
    except OSError as error:
        raise CompileError(
            f"{folder}: expected a folder that can be written, got: {error.strerror or error}; choose another"
        ) from error
    return folder / library


def library_files(model: Model) -> dict[str, str]:
    """Generate the files of a native library: path in its folder -> text."""
    runtime = {name: (RUNTIME / name).read_text(encoding="utf-8") for name in ("library.c", "quantize_input.h")}
    return {**model_files(model), **runtime}


def _digest(files: Mapping[str, str], compiler: Compiler) -> str:
    digest = Digest()
    for text in (*compiler.command, _version(compiler), *compiler.flags, *OPTIMIZE):
        digest.text(f"{text}\0")
    for path, text in sorted(files.items()):
        digest.text(f"{path}\0{len(text)}\0").text(text)
    return digest.name(16)


def _version(compiler: Compiler) -> str:
    """Identify the compiler behind a command: size and date of its file, or the package's version."""
    if compiler.zig:
        try:
            return metadata.version("ziglang")
        except metadata.PackageNotFoundError:
            pass
    path = shutil.which(compiler.command[0])
    if path is None:
        return ""
    facts = os.stat(path)
    return f"{os.path.realpath(path)} {facts.st_size} {facts.st_mtime_ns}"
