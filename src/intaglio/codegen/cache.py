"""Builds of native libraries that are kept and used again.

A build has a folder of its own, named by the SHA-256 of all that goes into it, and appears whole or not at all. So a
build is never confused with another, not even by a dynamic loader that remembers paths, and processes that build the
same thing at the same time do not disturb each other.
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
    """The shared library of a model, built unless the same build is there.

    Args:
        model: from `build.plan`.
        directory: below which builds are kept.
        cc: see `toolchain.find_compiler`.
    Returns:
        The library's path.
    Raises:
        CompileError: no compiler, one that fails, or a folder that cannot be written.
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
    """The files of a native library: path in its folder, text."""
    runtime = {name: (RUNTIME / name).read_text(encoding="utf-8") for name in ("library.c", "ends.h")}
    return {**model_files(model), **runtime}


def _digest(files: Mapping[str, str], compiler: Compiler) -> str:
    digest = Digest()
    for text in (*compiler.command, _version(compiler), *compiler.flags, *OPTIMIZE):
        digest.text(f"{text}\0")
    for path, text in sorted(files.items()):
        digest.text(f"{path}\0{len(text)}\0").text(text)
    return digest.name(16)


def _version(compiler: Compiler) -> str:
    """Which compiler the command is now: its file's size and date, or the package's version."""
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
