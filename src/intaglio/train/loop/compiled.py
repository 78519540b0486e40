"""Compile forward and backward pass with torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from intaglio.errors import UsageError


def compiled(module: nn.Module) -> Callable[..., Any]:
    """Wrap a module with torch.compile; the code is compiled at the first call.

    Raises:
        UsageError: (at the first call) PyTorch finds no usable compiler.
    """
    from torch._inductor import exc  # loads the compiler, which takes a second

    code = torch.compile(module, dynamic=False)

    def call(*inputs: Any) -> Any:
        try:
            return code(*inputs)
        except (exc.InvalidCxxCompiler, exc.CppCompileError, exc.TritonMissing) as error:
            got = " ".join(str(error).split())[:160]
            raise UsageError(
                f"compile: expected a compiler for torch.compile, got: {got}; install a C++ compiler (g++), or leave "
                "out --compile"
            ) from None

    return call
