"""Dead channels and cross-layer equalization, in the variant that measures best.

Candidates are the network without constant channels, the same with the chains equalized that need no cap per channel,
and with all chains equalized. Each is placed, calibrated the same quick way, corrected in its biases and compared with
float on held-back samples. What changes nothing for the better is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from intaglio.calibrate import calibrate
from intaglio.calibrate.driver import AUTO
from intaglio.calibrate.feeds import Batches, feeds
from intaglio.errors import IntaglioError
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.bias_correction import correct_biases
from intaglio.recover.dead_channels import free_constant_channels
from intaglio.recover.equalization import equalize
from intaglio.recover.trial import Samples, Trial
from intaglio.simulate import Simulator

QUICK_CALIBRATOR = "percentile-99.99"
LEAST_GAIN = 0.5
"""dB that an equalized network has to gain: less is chance."""
LEAST_GAIN_CAPS = 2.0
"""dB where caps per channel come with it: each is an operator more in the Program."""
_BATCH, _FITTED = 8, 6


class Split:
    """A data set as samples: of every eight the first six, or, `held`, the last two."""

    def __init__(self, dataset: Batches, held: bool) -> None:
        self.dataset, self.held = dataset, held

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """See `Samples.feeds`."""
        for number, (size, feed) in enumerate(feeds(self.dataset, simulator, _BATCH)):
            if size == 1 and not simulator.batched:
                if (number % _BATCH >= _FITTED) == self.held:
                    yield feed
                continue
            part = {name: x[_FITTED:] if self.held else x[:_FITTED] for name, x in feed.items()}
            if len(next(iter(part.values()))):
                yield part


def settle_channel_ranges(
    graph: Graph,
    plan_for: Callable[[Graph], Plan],
    dataset: Batches,
    samples: Samples,
    held_back: Samples,
    *,
    calibrator: str | None = None,
    weight_calibrator: str | None = None,
    carry_caps: bool = True,
) -> tuple[Graph, list[str]]:
    """The network whose channels suit its grids best, and what was tried.

    Args:
        graph: in normal form, batch norm folded; it is left as it is.
        plan_for: places a network.
        dataset: calibration data, all of them; read several times.
        samples: some of them, for ranges and means.
        held_back: others, on which candidates are compared.
        calibrator, weight_calibrator: of the candidates; `auto` is replaced by a quick one.
        carry_caps: whether bounds per channel may be used.
    Returns:
        (graph, history). The graph is the given one where nothing was better.
    Raises:
        CalibrationError, DataError: the data do not fit or hold no range.
    """
    quick = QUICK_CALIBRATOR if calibrator in (AUTO, None) else calibrator
    quick_weights = None if weight_calibrator == AUTO else weight_calibrator

    def measured(candidate: Graph) -> float:
        found = calibrate(candidate, plan_for(candidate), dataset, calibrator=quick, weight_calibrator=quick_weights)
        before = Trial(graph, held_back).sqnr(candidate, found.plan)
        return before + max(0.0, correct_biases(candidate, found.plan, samples, held_back).gain)

    freed = free_constant_channels(graph, Split(dataset, held=False), Split(dataset, held=True))
    history, base = list(freed.history), freed.graph
    plain = equalize(base, samples, carry_caps=False)
    capped = equalize(base, samples) if carry_caps else plain
    candidates = [(plain, LEAST_GAIN)] if plain.changed else []
    if capped.changed and capped.caps:
        candidates.append((capped, LEAST_GAIN_CAPS))
    if not candidates:
        return base, [*history, *capped.history]
    unequal = best = measured(base)
    chosen = base
    for made, least in candidates:
        try:
            reached = measured(made.graph)
        except IntaglioError as error:
            history += [*made.history, f"it cannot be quantized so ({error}); reverted"]
            continue
        better = reached >= best + least
        words = f"{made.history[0]}: output SQNR {unequal:.2f} -> {reached:.2f} dB on held-back samples, {quick}"
        history.append(f"{words}; {'kept' if better else 'reverted'}")
        if better:
            chosen, best = made.graph, reached
    return chosen, history
