"""Read folders of WAV files as cepstral coefficients."""

from __future__ import annotations

import copy
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from intaglio.data.cepstrum import Cepstrum
from intaglio.data.chunk import Shapes
from intaglio.data.labelled_files import LabelledFiles
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, readable

if TYPE_CHECKING:
    from typing_extensions import Self

SUFFIXES = {".wav"}


class SoundFolder(LabelledFiles):
    """Directory of class folders with WAV files; or of WAV files only, then without labels."""

    def __init__(
        self, path: Path, cepstrum: Cepstrum, *, labels: bool = True, classes: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(path, SUFFIXES, "class folders with .wav files, or .wav files", labels=labels, classes=classes)
        self.cepstrum = cepstrum
        self.shape: tuple[int, ...] = cepstrum.shape

    def preprocess(self, file: Path, where: str) -> npt.NDArray[np.float32]:
        """Read a file and compute its coefficients, in the shape of a model's input."""
        return self.cepstrum.features(read_wav(file, self.cepstrum.rate)).reshape(self.shape)

    def for_inputs(self, shapes: Shapes) -> Self:
        """Return the source for a model: frames and coefficients in the shape of its input, if they are its axes."""
        fitted = copy.copy(self)
        wanted = next(iter(shapes.values()))
        if len(shapes) == 1 and _long_axes(wanted) == _long_axes(self.cepstrum.shape):
            fitted.shape = wanted
        return fitted


def read_wav(path: Path, rate: int) -> npt.NDArray[np.int16]:
    """Read a WAV file of one channel with 16 bits per sample.

    Raises:
        DataError: it is damaged, or has another form or rate.
    """
    try:
        with readable(), wave.open(str(path), "rb") as file:
            form = file.getnchannels(), file.getsampwidth(), file.getframerate()
            count = file.getnframes()
            content = file.readframes(count)
    except (UnreadableError, wave.Error, EOFError) as error:
        reason = str(error) or "it is truncated"
        raise DataError(f"{path}: expected a WAV file, got one that cannot be read ({reason})") from error
    if form != (1, 2, rate):
        raise DataError(
            f"{path}: expected 1 channel with 16 bits per sample at {rate} Hz, got {form[0]} with {8 * form[1]} bits "
            f"at {form[2]} Hz; convert the sound"
        )
    if len(content) != 2 * count:
        raise DataError(f"{path}: expected {2 * count} bytes of sound, got {len(content)}; the file is truncated")
    return np.frombuffer(content, "<i2").astype(np.int16)


def _long_axes(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]
