"""`main.c` reads a sound as Python does, to the last bit, and refuses a damaged one."""

from __future__ import annotations

import shutil
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.c_application import (
    SANITIZE,
    build_application,
    identity_program,
    printed_numbers,
    run_application,
)

from intaglio.app.pieces import SOURCES
from intaglio.app.sound_input import sound_input
from intaglio.data.cepstrum import Cepstrum
from intaglio.data.dataset import Dataset
from intaglio.data.postprocess import NumberOutput
from intaglio.data.sounds import SoundFolder, read_wav
from intaglio.errors import CompileError
from intaglio.number import INT8, INT16
from intaglio.program import TensorInfo
from intaglio.program.sampling import grid

SETTINGS = {
    "default": Cepstrum(),
    "log energies": Cepstrum(8000, 4000, 256, 128, 256, 24, 50.0, 3500.0, 0),
    "magnitude": Cepstrum(16000, 8000, 640, 320, 1024, 30, 0.0, 8000.0, 13, 1, 1e-12),
    "short": Cepstrum(16000, 700, 100, 50, 128, 12, 20.0, 8000.0, 12),
}


def sounds(count: int, rate: int, length: int) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    t = np.arange(length) / rate
    found = [np.zeros(length), np.full(length, -32768), rng.integers(-32768, 32768, length)]
    while len(found) < count:
        frequency = rng.uniform(50, rate / 2.2) * (1 + 0.3 * t)
        tone = np.sin(2 * np.pi * np.cumsum(frequency) / rate) * 10 ** rng.uniform(0.5, 4.4)
        found.append(np.clip(tone + rng.normal(size=length) * 10 ** rng.uniform(0, 3), -32768, 32767))
    return [x.astype(np.int16) for x in found]


def save(path: Path, x: np.ndarray, rate: int, channels: int = 1, width: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(x.astype({1: "u1", 2: "<i2"}[width]).tobytes())
    return path


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("bits", [8, 16])
def test_codes_are_those_of_python(name: str, bits: int, tmp_path: Path) -> None:
    cepstrum = SETTINGS[name]
    params = grid(INT8, 0.6, 20) if bits == 8 else grid(INT16, 1 / 400)
    lengths = [cepstrum.samples] * 9 + [cepstrum.samples // 2, cepstrum.samples + 99, 1, 0]
    files = []
    for i, (length, x) in enumerate(zip(lengths, sounds(len(lengths), cepstrum.rate, max(lengths)), strict=True)):
        files.append(save(tmp_path / "data" / f"{i:02}.wav", x[:length], cepstrum.rate))
    shape = (1, 1, *cepstrum.shape)
    data = Dataset(SoundFolder(tmp_path / "data", cepstrum))
    main = build_application(identity_program(shape, params), data, tmp_path / "c", NumberOutput(), ["-O2"])
    status, out, err = run_application(main, *files, "example.wav")
    assert (status, err) == (0, "")
    answers = printed_numbers(out, params, shape)
    for file, codes in zip(files, answers, strict=False):
        want = params.quantize(cepstrum.features(read_wav(file, cepstrum.rate))[None, None])
        np.testing.assert_array_equal(codes, want, err_msg=file.name)
    np.testing.assert_array_equal(answers[-1], answers[0])


DRIVER = """#include "prepare_sound.h"
#include <stdio.h>
{tables}
int main(int argc, char **argv)
{{
    static unsigned char bytes[1 << 20];
    static float values[{count}];
    static struct app_text error;
    for (int i = 1; i < argc; i++) {{
        FILE *file = fopen(argv[i], "rb");
        const size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        if (prepare_sound(bytes, size, &sound, values, &error))
            return 1;
        for (int k = 0; k < {count}; k++)
            printf("%a\\n", (double)values[k]);
    }}
    return 0;
}}
"""


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("compiler", [("gcc", "-std=c11", "-O0"), ("clang", "-std=gnu11", "-O3", "-ffp-contract=fast")])
def test_coefficients_are_those_of_python_to_the_last_bit(name: str, compiler: tuple[str, ...], tmp_path: Path) -> None:
    """Before they are quantized, whatever the compiler may do to them by default."""
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"needs {compiler[0]}, which is not installed")
    c = SETTINGS[name]
    given = sounds(8, c.rate, c.samples)
    files = [save(tmp_path / "data" / f"{i}.wav", x, c.rate) for i, x in enumerate(given)]
    shape = (1, *c.shape)
    piece = sound_input(TensorInfo("x", shape, INT8, grid(INT8, 1.0)), SoundFolder(tmp_path / "data", c))
    for file in ("prepare_sound.c", "prepare_sound.h", "read_wav.c", "read_wav.h", "app_text.c", "app_text.h"):
        shutil.copy(SOURCES / file, tmp_path)
    macros = "".join(f"#define {key} {value}\n" for key, value in piece.macros.items())
    settings = f'#include "app_text.h"\n{macros}typedef float app_input;\n'
    (tmp_path / "app_settings.h").write_text(settings)
    (tmp_path / "quantize_real.h").write_text("static float quantize_real(float x) { return x; }\n")
    (tmp_path / "main.c").write_text(DRIVER.format(tables=piece.tables, count=int(np.prod(shape))))
    machine = ["-march=native"] if compiler[0] == "clang" else []
    command = [*compiler, *machine, "main.c", "prepare_sound.c", "read_wav.c", "app_text.c", "-o", "main", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main", *files], capture_output=True, text=True, check=True)
    got = np.array([float.fromhex(line) for line in done.stdout.split()]).reshape(len(files), *c.shape)
    np.testing.assert_array_equal(got, np.stack([c.features(x) for x in given]).astype(np.float64))


@pytest.mark.parametrize("name", SETTINGS)
def test_coefficients_are_those_of_the_formula(name: str) -> None:
    """With NumPy's transform and logarithm in float64; what float32 loses is far less than a step of any network."""
    c = SETTINGS[name]
    for x in sounds(8, c.rate, c.samples)[2:]:
        frames = np.lib.stride_tricks.sliding_window_view(x / 32768, c.window)[:: c.stride]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c.window) / c.window)
        spectrum = np.abs(np.fft.rfft(frames * hann, c.fft)) ** c.power
        mel = 1127 * np.log1p(np.fft.rfftfreq(c.fft, 1 / c.rate) / 700)
        corners = np.linspace(1127 * np.log1p(c.low / 700), 1127 * np.log1p(c.high / 700), c.bands + 2)
        bands = np.array([np.interp(mel, corners[i : i + 3], [0, 1, 0], 0, 0) for i in range(c.bands)])
        want = np.log(spectrum @ bands.T + c.floor)
        if c.coefficients:
            k, n = np.arange(c.coefficients)[:, None], np.arange(c.bands)
            want = want @ (np.cos(np.pi * k * (n + 0.5) / c.bands) * np.sqrt(np.where(k, 2, 1) / c.bands)).T
        got = c.features(x)
        assert got.shape == c.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=5e-3)


def wav(
    samples: int = 700, channels: int = 1, bits: int = 16, rate: int = 16000, kind: int = 1, before: bytes = b""
) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, rate * 2, 2, bits)
    data = np.random.default_rng(1).integers(0, 256, samples * channels * bits // 8).astype(np.uint8).tobytes()
    body = b"WAVE" + before + form + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


BAD = {
    "empty": (b"", "expected a WAV file, which begins with RIFF and WAVE; convert the sound"),
    "mp3": (b"ID3" + bytes(50), "expected a WAV file, which begins with RIFF and WAVE; convert the sound"),
    "stereo": (wav(channels=2), "expected 1 channel with 16 bits per sample (PCM) at 16000 Hz, got 2 with 16"),
    "8 bits": (wav(bits=8), "expected 1 channel with 16 bits per sample (PCM) at 16000 Hz, got 1 with 8 bits at 16000"),
    "rate": (wav(rate=44100), "expected 1 channel with 16 bits per sample (PCM) at 16000 Hz, got 1 with 16 bits at 44"),
    "float": (wav(kind=3), "expected 1 channel with 16 bits per sample (PCM) at 16000 Hz, got 1 with 16 bits at 16000"),
    "truncated": (wav()[:-9], "expected 1400 bytes of sound, got 1391; the file is truncated"),
    "no sound": (wav()[:36], "expected a WAV file with a format and sound, got one without; the file is truncated"),
    "no format": (wav()[:30], "expected a WAV file with a format and sound, got one without; the file is truncated"),
}  # fmt: skip


@pytest.fixture(scope="module")
def checked_main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the sanitizers of the compiler."""
    folder = tmp_path_factory.mktemp("checked")
    cepstrum = SETTINGS["short"]
    save(folder / "data" / "a.wav", np.zeros(700), 16000)
    program = identity_program((1, *cepstrum.shape), grid(INT8, 0.5))
    data = Dataset(SoundFolder(folder / "data", cepstrum))
    return build_application(program, data, folder / "c", NumberOutput(), SANITIZE)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_message_and_status_1(case: str, checked_main: Path, tmp_path: Path) -> None:
    content, message = BAD[case]
    (tmp_path / "bad.wav").write_bytes(content)
    (tmp_path / "good.wav").write_bytes(wav(before=b"LIST\x03\x00\x00\x00abc\x00"))  # another chunk, of odd size
    status, out, err = run_application(checked_main, tmp_path / "bad.wav", tmp_path / "good.wav")
    assert status == 1
    assert err.startswith(f"error: {tmp_path / 'bad.wav'}: {message}"), err
    assert len(err.splitlines()) == 1
    assert out.startswith(f"{tmp_path / 'good.wav'}\n")


def test_damaged_sounds_never_reach_beyond_memory(checked_main: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    files = []
    for i in range(300):
        content = bytearray(wav(int(rng.integers(0, 40)), before=b"LIST\x04\x00\x00\x00abcd"))
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(min(60, len(content))))
            if rng.random() < 0.2:
                del content[at:]
            elif rng.random() < 0.3:
                content[at : at + 4] = rng.choice(
                    [b"\xff\xff\xff\xff", b"data", b"fmt ", b"\0\0\0\0", b"\xfe\xff\xff\x7f"]
                )
            else:
                content[at] = int(rng.integers(256))
            if not content:
                break
        files.append(tmp_path / f"{i}.wav")
        files[-1].write_bytes(content)
    status, out, err = run_application(checked_main, *files)
    assert status == 1
    assert all(line.startswith("error: ") for line in err.splitlines()), err
    assert len(err.splitlines()) + len(out.splitlines()) // 2 == len(files)


def test_sounds_that_the_model_does_not_take(tmp_path: Path) -> None:
    save(tmp_path / "data" / "a.wav", np.zeros(9), 16000)
    data = Dataset(SoundFolder(tmp_path / "data", Cepstrum()))
    with pytest.raises(
        CompileError, match=r"expected real numbers of shape \(1, 10, 49\), got 49 frames with 10 values"
    ):
        build_application(identity_program((1, 10, 49), grid(INT8, 0.5)), data, tmp_path / "c")
