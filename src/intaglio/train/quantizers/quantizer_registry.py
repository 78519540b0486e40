"""Registry of training methods: a quantizer of weights and one of activations by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from intaglio.errors import UsageError
from intaglio.plan import Format
from intaglio.train.quantizers.binary import Xnor
from intaglio.train.quantizers.dorefa import DorefaActivation, DorefaWeight
from intaglio.train.quantizers.lsq import Lsq
from intaglio.train.quantizers.observed import MovingRange, Range
from intaglio.train.quantizers.pact import Pact
from intaglio.train.quantizers.quantizer import Quantizer
from intaglio.train.quantizers.tqt import Tqt
from intaglio.train.quantizers.ttq import Ttq
from intaglio.train.quantizers.twn import Twn

QuantizerMaker = Callable[..., Quantizer]
"""(format, shape of the parameters, ties_up=..., estimator=...) -> Quantizer."""


@dataclass(frozen=True)
class Weights:
    """Maker of weight quantizers: the method's own if it supports the format, otherwise LSQ.

    First and last layers usually have wider formats than the method is made for.
    """

    wanted: type[Quantizer]

    def __call__(self, format: Format, shape: tuple[int, ...], **options: Any) -> Quantizer:
        """Make a quantizer; arguments as for `Quantizer`."""
        make = self.wanted if self.wanted.takes(format) else Lsq
        return make(format, shape, **options)


METHODS: dict[str, tuple[Weights, type[Quantizer]]] = {
    "range": (Weights(Range), MovingRange),
    "lsq": (Weights(Lsq), Lsq),
    "tqt": (Weights(Tqt), Tqt),
    "pact": (Weights(Lsq), Pact),
    "dorefa": (Weights(DorefaWeight), DorefaActivation),
    "twn": (Weights(Twn), Lsq),
    "ttq": (Weights(Ttq), Lsq),
    "xnor": (Weights(Xnor), Lsq),
}
"""Name -> (maker of weight quantizers, maker of activation quantizers)."""


def quantizer_makers(method: str, where: str = "method") -> tuple[Weights, type[Quantizer]]:
    """Look up a row of `METHODS`.

    Raises:
        UsageError: unknown method.
    """
    if method not in METHODS:
        raise UsageError(f"{where}: expected one of {', '.join(METHODS)}, got {method!r}")
    return METHODS[method]
