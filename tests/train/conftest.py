"""What the tests of training share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _load(file: str, folder: str = "train") -> None:
    name = f"intaglio_tests_{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / folder / f"{file}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


_load("follows")
_load("loop_net")  # test files import from intaglio_tests_loop_net
_load("nn_nets")
_load("qat_nets")
_load("onnx_net", "graph")
