"""The option `--metric` of the commands that measure on labelled data."""

from __future__ import annotations

import argparse

from intaglio.evaluation.evaluate import METRICS


def add_metric(parser: argparse.ArgumentParser) -> None:
    """Add the option `--metric`."""
    names = " or ".join(", ".join(METRICS).rsplit(", ", 1))
    parser.add_argument("--metric", default="top1", help=f"metric of --eval: {names} (default: %(default)s)")
