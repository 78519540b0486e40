"""The forward and the backward pass of a training as compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from intaglio.errors import UsageError


def compiled(module: nn.Module) -> Callable[..., Any]:
    """A module as torch.compile makes code of it at the first call.

    Raises:
        UsageError: (the first call) there is no compiler on this machine that PyTorch can use.
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
