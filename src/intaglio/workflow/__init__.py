"""Jobs behind the commands, timed step by step: load, quantize or train, lower, measure, write."""

from intaglio.workflow.quantize import quantize_job
from intaglio.workflow.train import Beginning, train_job

__all__ = ["Beginning", "quantize_job", "train_job"]
