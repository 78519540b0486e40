"""Score and predictions of the float network, measured once for all attempts of a search."""

from __future__ import annotations

import math

from intaglio.data import Dataset
from intaglio.errors import DataError
from intaglio.evaluation import FloatStage
from intaglio.evaluation.evaluate import evaluate
from intaglio.evaluation.metric import Metric
from intaglio.graph import Graph
from intaglio.search.attempts import AttemptFile, FloatResult


def float_result(graph: Graph, scored: Dataset, metric: Metric, file: AttemptFile) -> FloatResult:
    """Take the float network's result from the file of the search, or measure it and keep it there.

    Raises:
        DataError: the score is NaN or infinite, or labels are missing.
    """
    if file.float_result is None:
        found = evaluate([FloatStage(graph)], scored, metric, label="evaluate float")
        score = found.scores[0]
        if not math.isfinite(score.value):
            raise DataError(
                f"{scored.name}: expected a finite {metric} of the float network, got {score.value}; look for NaN "
                "among inputs and targets"
            )
        file.keep_float(FloatResult(score.value, score.samples, found.predictions[0]))
    assert file.float_result is not None
    return file.float_result
