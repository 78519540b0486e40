"""Compare two models layer by layer: the job of `intaglio compare` and `intaglio.compare`."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from intaglio.data import DataLike, Dataset
from intaglio.evaluation import LayerDifference, Stage
from intaglio.evaluation import compare as compare_stages
from intaglio.evaluation.model_stages import data_for, stage_of, steps_of
from intaglio.evaluation.stage import inputs_of
from intaglio.report.terminal_tables import print_table
from intaglio.workflow.open_model import open_beside

if TYPE_CHECKING:
    from intaglio.workflow.open_model import AnyModel


@dataclass(frozen=True, repr=False)
class ModelComparison:
    """Differences of two models, as `intaglio.compare` returns them.

    Attributes:
        layers: one entry for each value that both have.
        agreement: percent of samples on which both have the same largest output.
        samples: number of samples.
    """

    layers: tuple[LayerDifference, ...]
    agreement: float
    samples: int

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `intaglio compare --json` prints."""
        return {"agreement": self.agreement, "layers": [layer.to_json() for layer in self.layers]}

    def show(self, title: str = "layers", *, file: TextIO | None = None) -> None:
        """Print the table."""
        rows = [
            (
                layer.name,
                f"{layer.sqnr:.1f}" if math.isfinite(layer.sqnr) else "equal",
                f"{layer.largest:.4g}",
                "-" if layer.steps is None else f"{layer.steps:.1f}",
                f"{layer.equal:.1f}",
            )
            for layer in self.layers
        ]
        print_table(title, ("value", "SQNR dB", "largest difference", "in steps", "equal %"), rows, file=file)
        print(f"largest output is the same on {self.agreement:.2f} % of {self.samples} samples", file=file)

    def summary(self) -> str:
        """Table of the values, from the first layer to the last."""
        text = io.StringIO()
        self.show(file=text)
        return text.getvalue().rstrip()

    def __repr__(self) -> str:
        worst = min(self.layers, key=lambda layer: layer.sqnr)
        ratio = f"{worst.sqnr:.1f} dB" if math.isfinite(worst.sqnr) else "equal"
        return (
            f"ModelComparison({len(self.layers)} values, lowest SQNR {ratio} ({worst.name!r}), same largest output on "
            f"{self.agreement:.2f} % of {self.samples} samples)"
        )


def compare(
    a: AnyModel, b: AnyModel, data: DataLike, *, samples: int = 32, example_inputs: Any = None
) -> ModelComparison:
    """Compare two models layer by layer.

    Args:
        a: the reference: a path, a `torch.nn.Module`, or what `load`, `quantize`, `lower` or `compile` return.
        b: the model to compare with it.
        data: inputs; labels are not needed (see `intaglio.data.open_data`).
        samples: most samples to compare on.
        example_inputs: for a module: inputs that it can be called with; None: the first sample of `data`.
    Raises:
        DataError: the data do not fit, or the models have no value in common.
        UsageError, ModelError, ProgramError: a model cannot be read.
    """
    first, data = open_beside(a, data, example_inputs)
    second, data = open_beside(b, data, example_inputs)
    opened = data_for(first, data, samples)
    if opened.once:
        opened = opened.cached()
    stages = stage_of(first), stage_of(second)
    layers = compare_stages(*stages, opened, steps_of(second), samples=samples)
    return ModelComparison(tuple(layers), *_agreement(stages, opened))


def _agreement(stages: tuple[Stage, Stage], data: Dataset) -> tuple[float, int]:
    """Percent of samples with the same largest output, and the number of samples."""
    same = total = 0
    for x, _ in data.batches(32):
        best = [stage.run(*inputs_of(x))[0] for stage in stages]
        left, right = (y.reshape(len(y), -1).argmax(axis=1) for y in best)
        same, total = same + int((left == right).sum()), total + len(left)
    return 100.0 * same / total, total
