"""What happens to a job when standard output, the disk or memory gives way."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from intaglio.cli import main, models
from intaglio.program import load_program

COMPLETE = {"model.intaglio", "model.qdq.onnx", "model_explorer.json", "plan.json", "report.html", "summary.json"}


def quantize(made, folder, *more):
    return main(["quantize", str(made.model), "--data", str(made.data), "-o", str(folder), *more])


def run_apart(command, stdout):
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, check=False)


def closed_pipe():
    """The end to write to of a pipe whose reader has left."""
    read, write = os.pipe()
    os.close(read)
    return write


def test_a_closed_pipe_does_not_stop_the_job(made, tmp_path, monkeypatch):
    """As in `intaglio quantize ... 2>&1 | head -1`."""
    with open(closed_pipe(), "w", buffering=1) as pipe:  # by lines: the first one meets the closed end
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, pipe)
        assert quantize(made, tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == COMPLETE
    load_program(tmp_path / "out" / "model.intaglio")


@pytest.mark.parametrize("argv", [["targets"], ["--help"], ["targets", "--json"]])
def test_a_closed_pipe_before_buffered_text_is_written(argv):
    write = closed_pipe()
    done = run_apart([sys.executable, "-m", "intaglio", *argv], write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which this system lacks")
def test_a_full_standard_output_is_an_error_and_the_files_are_complete(made, tmp_path, monkeypatch, capsys):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert quantize(made, tmp_path / "out") == 1
    assert capsys.readouterr().err == (
        "error: standard output: No space left on device; the printed text is lost, all files are complete\n"
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == COMPLETE


def test_a_closed_standard_output(made):
    """Python has no sys.stdout then."""
    command = f'exec "{sys.executable}" -m intaglio inspect "{made.program}" >&-'
    done = run_apart(["sh", "-c", command], None)
    assert (done.returncode, done.stderr) == (0, "")


def test_characters_that_the_terminal_lacks(made, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (tmp_path / "größe.intaglio").write_bytes(made.program.read_bytes())
    done = run_apart([sys.executable, "-m", "intaglio", "inspect", str(tmp_path / "größe.intaglio")], -1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe.intaglio: integer-only program" in " ".join(done.stdout.split())


ERRORS = {
    "disk full": (OSError(errno.ENOSPC, "No space left on device", "/else/x"), "/else/x: No space left on device; f"),
    "permission": (PermissionError(errno.EACCES, "Permission denied", "/else/x"), "/else/x: Permission denied; choose"),
    "too many files": (OSError(errno.EMFILE, "Too many open files"), "quantize: Too many open files; raise the limit"),
    "memory": (MemoryError("Unable to allocate 9 GiB"), "quantize: out of memory (Unable to allocate 9 GiB);"),
    "memory of torch": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        "quantize: out of memory (DefaultCPUAllocator",
    ),
    "text": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "quantize: expected text in UTF-8"),
    "nesting": (RecursionError("maximum recursion depth exceeded"), "quantize: expected a model or file that is"),
    "pipe of a worker": (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_of_the_system_are_one_line(made, fails, tmp_path, monkeypatch, kind):
    error, text = ERRORS[kind]

    def load(*_):
        raise error

    monkeypatch.setattr("intaglio.cli.quantize_command.load_any_or_quantized", load)
    argv = ["quantize", made.model, "--data", made.data, "-o", tmp_path / "out"]
    told = fails(*argv)
    assert told.count("\n") == 1
    assert text in told
    assert not (tmp_path / "out").exists()
    with pytest.raises(type(error)):
        main(["--debug", *map(str, argv)])


def test_internal_errors_keep_their_traceback(made, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "parse_shapes", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        quantize(made, tmp_path / "out")


def test_a_disk_that_is_full_leaves_nothing(made, fails, tmp_path):
    """A limit on the size of files is the nearest to a full disk that any user may set."""
    resource = pytest.importorskip("resource", reason="needs a system with limits on files")
    np.save(tmp_path / "x.npy", np.zeros((2000, 3, 8, 8), np.float32))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        texts = [
            fails("run", made.program, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy"),
            fails("quantize", made.model, "--data", made.data, "-o", tmp_path / "out"),
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [text.count("\n") for text in texts] == [1, 1]
    assert "cannot be written" in texts[0]
    assert "expected a folder that can be written, got: File too large" in texts[1]
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy"}
