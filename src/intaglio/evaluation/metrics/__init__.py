"""Built-in metrics: one file for each kind of task; the names here are those that have parameters."""

from intaglio.evaluation.metrics.error_rates import character_error_rate, word_error_rate
from intaglio.evaluation.metrics.image_errors import peak_signal_to_noise
from intaglio.evaluation.metrics.mean_average_precision import mean_average_precision

__all__ = ["character_error_rate", "mean_average_precision", "peak_signal_to_noise", "word_error_rate"]
