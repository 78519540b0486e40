"""No exception is swallowed: a handler of a broad or of our own exception raises, or tells what it caught."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from intaglio import errors

SOURCE = Path(__file__).resolve().parents[1] / "src" / "intaglio"
OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
BROAD = {"Exception", "BaseException", *OURS}

# (file, function): why nothing is told there
SILENT = {
    ("codegen/package.py", "build"): "the next call compiles without the call graph and raises what is wrong",
    ("export/runtime.py", "reads"): "the question is whether ONNX Runtime reads a version, whatever it says if not",
    ("frontends/bind.py", "_has_integer_form"): "the caller raises an error that names the input and the node",
    ("frontends/torch.py", "takes"): "the question is whether the module takes the inputs; the export says why not",
    ("frontends/open_batch.py", "_dependence"): "a model for several samples only is the same network at all others",
    ("frontends/open_batch.py", "_dependence_of_fixed"): "a model that refuses other sizes says nothing about them",
    (
        "evaluation/model_stages.py",
        "integer_stage",
    ): "the reference computes the same integers without a compiler",
    ("ops/softmax.py", "_softmax"): "where TFLite's softmax is not defined ours is, and the operator's name says which",
    ("plan/unary_nodes.py", "operator"): "lowering meets the same node and says why it cannot",
    ("simulate/integer_loop.py", "integer_loops"): "lowering meets the same node and says why it cannot",
    ("train/nn/table_layers.py", "_operator"): "freezing meets the same function and says why it cannot",
    ("quantized.py", "report"): "lower() says why; the page tells of the Plan",
}


def swallowed(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Functions and lines of handlers that neither raise nor use what they caught."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    def place(node: ast.AST) -> str:
        around = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or f.lineno)]  # type: ignore[attr-defined]
        return max(around, key=lambda f: f.lineno).name if around else "<module>"

    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            inner = [part for statement in node.body for part in ast.walk(statement)]
            told = any(isinstance(part, ast.Name) and part.id == node.name for part in inner)
            if _broad(node.type) and not told and not any(isinstance(part, ast.Raise) for part in inner):
                yield place(node), node.lineno
        elif isinstance(node, ast.Call) and _name(node.func) == "suppress" and any(map(_broad, node.args)):
            yield place(node), node.lineno


def _broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or _name(one) in BROAD for one in kinds)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_handlers_raise_or_tell() -> None:
    found = {
        (path.relative_to(SOURCE).as_posix(), function): line
        for path in sorted(SOURCE.rglob("*.py"))
        for function, line in swallowed(ast.parse(path.read_text(encoding="utf-8")))
    }
    unknown = {f"{file}:{line} in {name}" for (file, name), line in found.items() if (file, name) not in SILENT}
    assert not unknown, "raise, put it in the history, or declare here why nothing has to be told"
    assert set(SILENT) <= set(found), "declared, but not there any more"


def test_swallowing_is_seen() -> None:
    body = "def f():\n    try:\n        g()\n    except {}:\n        {}\n"
    for kind in ("Exception", "ModelError", "(OSError, errors.IntaglioError)"):
        assert list(swallowed(ast.parse(body.format(kind, "return None")))) == [("f", 4)]
        assert list(swallowed(ast.parse(body.format(f"{kind} as e", "pass")))) == [("f", 4)]
        assert not list(swallowed(ast.parse(body.format(f"{kind} as e", "told.append(str(e))"))))
        assert not list(swallowed(ast.parse(body.format(kind, "raise ValueError"))))
    assert not list(swallowed(ast.parse(body.format("KeyError", "return None"))))
    assert list(swallowed(ast.parse("def f():\n    with contextlib.suppress(ModelError):\n        g()"))) == [("f", 2)]
