"""Registry of gradient estimators by name."""

from __future__ import annotations

from collections.abc import Callable

from intaglio.errors import UsageError
from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.dsq import Dsq
from intaglio.train.estimators.grid import Estimator
from intaglio.train.estimators.gumbel import Gumbel
from intaglio.train.estimators.proxquant import ProxQuant
from intaglio.train.estimators.stochastic import Stochastic
from intaglio.train.estimators.straight_through import straight_through

EstimatorMaker = Callable[[int], Estimator]
"""Function from a seed to the estimator of one quantizer."""


def _clipped(seed: int) -> Estimator:
    return clipped


def _straight_through(seed: int) -> Estimator:
    return straight_through


def _dsq(seed: int) -> Estimator:
    return Dsq()


def _proxquant(seed: int) -> Estimator:
    return ProxQuant()


ESTIMATORS: dict[str, tuple[EstimatorMaker, EstimatorMaker]] = {
    "clipped": (_clipped, _clipped),
    "straight-through": (_straight_through, _straight_through),
    "dsq": (_dsq, _dsq),
    "gumbel": (Gumbel, Gumbel),
    "stochastic": (Stochastic, Stochastic),
    "proxquant": (_proxquant, _clipped),  # a proximal step changes parameters, so activations cannot use it
}
"""Name -> (maker of weight estimators, maker of activation estimators)."""


def estimator_makers(name: str, where: str = "estimator") -> tuple[EstimatorMaker, EstimatorMaker]:
    """Look up a row of `ESTIMATORS`.

    Raises:
        UsageError: unknown estimator.
    """
    if name not in ESTIMATORS:
        raise UsageError(f"{where}: expected one of {', '.join(ESTIMATORS)}, got {name!r}")
    return ESTIMATORS[name]
