"""Built-in metrics by name, and the metric of whatever a user gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeAlias

from intaglio.errors import UsageError
from intaglio.evaluation.metric import Metric
from intaglio.evaluation.metrics.error_rates import character_error_rate, word_error_rate
from intaglio.evaluation.metrics.f1_score import f1_score
from intaglio.evaluation.metrics.image_errors import mean_squared_error, peak_signal_to_noise
from intaglio.evaluation.metrics.mean_average_precision import mean_average_precision
from intaglio.evaluation.metrics.mean_iou import mean_iou
from intaglio.evaluation.metrics.perplexity import perplexity
from intaglio.evaluation.metrics.ranks import area_under_curve, spearman
from intaglio.evaluation.metrics.top_k import top_k
from intaglio.evaluation.user_metric import user_metric
from intaglio.files.import_name import import_name

MetricLike: TypeAlias = "str | Metric | Callable[..., Any] | Any"
"""Name of a built-in metric, `package.module:name`, a `Metric`, a function, or an object with update and compute."""

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        top_k(1),
        top_k(5),
        mean_squared_error(),
        peak_signal_to_noise(),
        mean_iou(),
        mean_average_precision(),
        mean_average_precision(threshold=0.5),
        f1_score(),
        area_under_curve(),
        word_error_rate(),
        character_error_rate(),
        spearman(),
        perplexity(),
    )
}
"""Built-in metrics by name; besides, `top` with any number. Small and capital letters are the same."""
_NAMES = {name.lower(): name for name in METRICS}
_OTHER_NAMES = {
    **dict.fromkeys(("accuracy", "acc", "top-1", "top_1", "acc1", "error rate", "error_rate"), "top1"),
    **dict.fromkeys(("top-5", "top_5", "acc5"), "top5"),
    **dict.fromkeys(("iou", "mean_iou", "jaccard"), "mIoU"),
    **dict.fromkeys(("ap", "mean_average_precision"), "mAP"),
    **dict.fromkeys(("rmse", "l2", "mae"), "mse"),
    **dict.fromkeys(("roc", "roc_auc", "auroc"), "AUC"),
    **dict.fromkeys(("ppl", "loss", "cross_entropy"), "perplexity"),
}
"""What others call a metric that is the same or measures the same."""


def _nearest(name: str) -> str:
    close = get_close_matches(name.lower(), _NAMES, n=1)
    found = _OTHER_NAMES.get(name.lower()) or (_NAMES[close[0]] if close else None)
    return f"; did you mean {found}?" if found else ""


def metric_of(given: MetricLike, *, higher_is_better: bool | None = None) -> Metric:
    """Return the metric that a user means.

    Args:
        given: see `MetricLike`; for functions and objects see `user_metric.user_metric`.
        higher_is_better: whether larger values of a function or object are better. None: its attribute of that name,
            or True where it has none.
    Raises:
        UsageError: no such metric; or `package.module:name` cannot be imported or is no function or object.
    """
    if isinstance(given, Metric):
        if higher_is_better not in (None, given.higher_is_better):
            return replace(given, higher_is_better=bool(higher_is_better))
        return given
    if not isinstance(given, str):
        return user_metric(given, higher_is_better=higher_is_better)
    if ":" in given:
        found = import_name(given, "function")
        if isinstance(found, Metric):
            return metric_of(found, higher_is_better=higher_is_better)
        return user_metric(found, higher_is_better=higher_is_better)
    built_in = METRICS.get(_NAMES.get(given.lower(), given))
    if built_in is None and (match := re.fullmatch(r"top([1-9]\d{0,5})", given)):
        built_in = top_k(int(match[1]))
    if built_in is None:
        raise UsageError(
            f"metric: expected one of {', '.join(METRICS)}, or package.module:function for one's own, got {given!r}"
            + _nearest(given)
        )
    if higher_is_better not in (None, built_in.higher_is_better):
        better = "larger" if built_in.higher_is_better else "smaller"
        raise UsageError(
            f"metric {given}: expected no direction of a built-in metric, whose {better} values are better"
        )
    return built_in
