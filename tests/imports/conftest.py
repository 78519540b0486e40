"""What the tests of quantized files share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _load() -> None:
    name, path = "intaglio_tests_qdq_net", Path(__file__).resolve().parents[1] / "export" / "qdq_net.py"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


_load()  # test files import from intaglio_tests_qdq_net
