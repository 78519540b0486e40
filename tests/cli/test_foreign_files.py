"""Files of somebody else in the output folder stay, and a full disk is one error that names the folder."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from intaglio.cli.main import main
from intaglio.cli.output import whole_folder
from intaglio.errors import ExportError


def test_compile_keeps_files_of_the_user(made, fails, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    argv = ("compile", made.program, "--no-build", "-o", out)
    for name in ("model.c", "Makefile", "selftest.o"):
        (out / name).write_text("mine: intaglio compile\n")
        text = fails(*argv)
        assert f"{out / name}: expected no file, or that of an earlier run, got another file" in text
        assert "choose another folder with -o" in text
        assert [path.name for path in out.iterdir()] == [name]
        assert (out / name).read_text() == "mine: intaglio compile\n"
        (out / name).unlink()


def test_compile_replaces_its_own_files(made, fails, tmp_path, capsys) -> None:
    argv = ["compile", str(made.program), "--no-build", "-o", str(tmp_path / "out")]
    assert main(argv) == 0
    (tmp_path / "out" / "selftest.o").write_text("built")
    assert main(argv) == 0
    (tmp_path / "out" / "model.h").write_text("mine\n")
    capsys.readouterr()
    assert "model.h: expected no file" in fails(*argv)


@pytest.mark.parametrize("command", ["quantize", "train"])
@pytest.mark.parametrize("name", ["plan.json", "summary.json"])
def test_results_keep_files_of_the_user(made, fails, tmp_path, command, name) -> None:
    (tmp_path / name).write_text("{}")
    text = fails(command, made.model, "--data", made.data, "-o", tmp_path)
    assert f"{tmp_path / name}: expected no file, or that of an earlier run" in text
    assert (tmp_path / name).read_text() == "{}"


def test_a_survey_keeps_files_of_the_user(made, fails, tmp_path) -> None:
    (tmp_path / "survey.csv").write_text("mine")
    text = fails("survey", made.model, "--data", made.data, "--eval", made.data, "-o", tmp_path)
    assert "survey.csv: expected no file, or that of an earlier run" in text


def test_a_sample_replaces_only_its_own_files(fails, tmp_path, capsys) -> None:
    argv = ["sample", "digits", "-o", str(tmp_path / "digits")]
    assert main(argv) == 0
    assert main(argv) == 0
    (tmp_path / "test.toml").write_text("mine")
    capsys.readouterr()
    assert "test.toml: expected no file, or that of an earlier run" in fails("sample", "digits", "-o", tmp_path)
    assert (tmp_path / "test.toml").read_text() == "mine"


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_compile_on_a_full_disk_names_the_folder(made, fails, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)
    text = fails("compile", made.program, "--no-build", "-o", tmp_path / "out")
    assert f"{tmp_path / 'out'}: expected a folder that can be written, got: No space left on device" in text
    assert not list(tmp_path.iterdir())


def test_an_error_because_of_a_full_disk_names_the_folder(tmp_path) -> None:
    """Also where a part has already reported the temporary file."""
    with pytest.raises(ExportError) as stop, whole_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("half")
        try:
            full()
        except OSError as error:
            raise ExportError(f"{folder / 'half'}: cannot be written") from error
    text = f"{tmp_path / 'out'}: expected a folder that can be written, got: No space left on device; choose another"
    assert text in str(stop.value)
    assert not list(tmp_path.iterdir())


def test_results_of_an_earlier_run_that_are_not_written_anew_are_removed(made, tmp_path) -> None:
    out = tmp_path / "out"
    argv = ["quantize", str(made.model), "--data", str(made.data), "-o", str(out), "--calibrator", "max"]
    assert main([*argv, "--target", "tflite-int8", "--write", "tflite"]) == 0
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    assert (out / "model.tflite").exists()
    assert main(argv) == 0
    assert not (out / "model.tflite").exists()
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_result_that_is_the_model_stays(made, tmp_path) -> None:
    out = tmp_path / "out"
    data = ["--data", str(made.data), "-o", str(out)]
    assert main(["quantize", str(made.model), *data, "--target", "tflite-int8", "--write", "tflite"]) == 0
    before = (out / "model.tflite").read_bytes()
    assert main(["quantize", str(out / "model.tflite"), *data]) == 0
    assert (out / "model.tflite").read_bytes() == before
