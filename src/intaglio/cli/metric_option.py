"""The option `--metric` of the commands that measure on labelled data."""

from __future__ import annotations

import argparse

from intaglio.evaluation import METRICS, Metric, metric_of


def add_metric(parser: argparse.ArgumentParser, what: str = "metric of --eval") -> None:
    """Add the options `--metric` and `--lower-is-better`."""
    parser.add_argument(
        "--metric",
        default="top1",
        metavar="NAME",
        help=f"{what}: {', '.join(METRICS)}, or package.module:name, your own function of (outputs, targets) or object "
        "with update and compute (default: %(default)s)",
    )
    parser.add_argument(
        "--lower-is-better",
        action="store_true",
        help="smaller values of your own --metric are better (default: its attribute higher_is_better, or larger ones)",
    )


def chosen_metric(args: argparse.Namespace) -> Metric:
    """Return the metric that the options name.

    Raises:
        UsageError: see `metric_of`.
    """
    return metric_of(args.metric, higher_is_better=False if args.lower_is_better else None)
