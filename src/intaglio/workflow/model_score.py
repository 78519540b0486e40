"""Measure a model of any form on labelled data: `intaglio.evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intaglio.data import DataLike
from intaglio.evaluation import Score
from intaglio.evaluation.model_stages import score
from intaglio.workflow.open_model import open_beside

if TYPE_CHECKING:
    from intaglio.evaluation.metrics.metric_registry import MetricLike
    from intaglio.processes import Processes
    from intaglio.workflow.open_model import AnyModel


def evaluate(
    model: AnyModel,
    data: DataLike,
    metric: MetricLike = "top1",
    *,
    example_inputs: Any = None,
    engine: str | None = None,
    limit: int | None = None,
    processes: Processes | None = None,
    states: Mapping[str, str] | None = None,
) -> Score:
    """Measure accuracy on labelled data.

    Args:
        model: float Graph, `torch.nn.Module`, Quantized (simulated), Program (integers), what `intaglio.compile`
            returns (integers), or the file of one: .onnx, also one that another tool quantized, or .intaglio.
        data: with labels; see `intaglio.data.open_data`.
        metric: a name of `METRICS`; a function `f(outputs, targets) -> float` of the whole data set; an object with
            `update(outputs, targets)`, called for each batch, and `compute()`, as those of torchmetrics; or
            "package.module:name" of a function or object. `outputs` is an array (N, ...), or a tuple of arrays where
            the network has several outputs.
        example_inputs: for a module: inputs that it can be called with; None: the first sample of `data`.
        engine: float, simulate, reference or native, where another than the model's own is wanted.
        limit: most samples to read.
        processes: those that share the samples; each calls this.
        states: the output of each state by the name of its input, where the Program does not declare them. Data
            without the states are the steps of one stream, a sample each, or sequences with an axis of steps in front,
            each from the initial states.
    Raises:
        UsageError: the model cannot be run by that engine; no such metric, or it fails; or a state's name is unknown.
        ModelError, ProgramError: the file cannot be read.
        DataError: the data do not fit, or have no labels; or the metric is NaN or infinite.
    """
    opened, data = open_beside(model, data, example_inputs, labels=True)
    return score(opened, data, metric, engine=engine, limit=limit, processes=processes, states=states)
