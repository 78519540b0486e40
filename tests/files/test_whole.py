"""Files and folders appear whole, with what belongs to them, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from intaglio.files import whole, whole_file, whole_tree


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_beside_a_file_are_moved_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order, real = [], os.replace
    monkeypatch.setattr(whole.os, "replace", lambda a, b: (order.append(Path(b).name), real(a, b)))
    with whole_file(tmp_path / "m.onnx") as written:
        written.write_text("model")
        written.with_name("m.onnx.data").write_text("weights")
        assert not (tmp_path / "m.onnx").exists()
    assert order == ["m.onnx.data", "m.onnx"]
    assert names(tmp_path) == order[::-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), whole_file(tmp_path / "a") as written:
        written.write_text("new")
        raise error
    with pytest.raises(error), whole_tree(tmp_path / "tree") as folder:
        (folder / "b").write_text("new")
        raise error
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_tree_replaces_files_of_the_same_name_unless_keep(tmp_path: Path) -> None:
    target = tmp_path / "x" / "tree"
    for text, keep in (("first", False), ("second", False), ("third", True)):
        with whole_tree(target, keep=keep) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "a").write_text(text)
        (target / f"mine {text}").touch()
    assert (target / "sub" / "a").read_text() == "second"
    assert names(target) == ["mine first", "mine second", "mine third", "sub"]
    assert names(tmp_path / "x") == ["tree"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~mask
