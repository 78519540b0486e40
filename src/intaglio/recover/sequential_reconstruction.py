"""Round a network block by block: the common part of GPTQ, AdaRound and block reconstruction.

The float network (which gives the wanted outputs) and the quantized network (whose layers get their codes) run side by
side over the blocks of one Graph. The values in front of the current block are cached for all samples (see
`activation_cache`): the cost is two runs through each block for each of its layers, independent of the network's depth,
and memory is bounded by one block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from intaglio.evaluation.held_back import Samples
from intaglio.evaluation.trial import Trial
from intaglio.files import arrays_fingerprint, run_fingerprint, text_fingerprint
from intaglio.graph import Graph, graph_fingerprint
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.recover.activation_cache import ActivationCache
from intaglio.recover.blocks import Block, blocks
from intaglio.recover.recovery import Recovery, better_of
from intaglio.recover.rounding_checkpoint import RoundingCheckpoint
from intaglio.recover.weight_codes import LearnedCodes, Rounded
from intaglio.simulate import Simulator

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_SHIFT = "bias of "  # prefix of a layer's name in a checkpoint, for the shift of its bias


@dataclass(frozen=True)
class BlockStage:
    """Current block, and the values around it.

    Args:
        network: the quantized network, with earlier blocks already rounded.
        real: simulator of the float network.
        block: the current block.
        given: inputs of the block in the quantized network.
        real_given: inputs of the block in the float network.
        wanted: outputs of the block in the float network.
    """

    network: Rounded
    real: Simulator
    block: Block
    given: ActivationCache
    real_given: ActivationCache
    wanted: ActivationCache

    def seen(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield by batch a layer's input in the quantized network and its output in the float network."""
        node = self.network.layers[name]
        data, result = str(node.inputs[0].name), str(node.outputs[0].name)  # type: ignore[union-attr]
        at = next(i for i, call in enumerate(self.network.quantized.calls) if call.node is node)
        device = self.real.device
        with torch.no_grad():
            pairs = zip(self.given.batches(device), self.real_given.batches(device), strict=True)
            for (_, values), (_, real) in pairs:
                x = self.network.quantized.span(self.block.start, at, values, [data])[data]
                yield x, self.real.span(self.block.start, at + 1, real, [result])[result]


Learn = Callable[[BlockStage, Sequence[str]], dict[str, LearnedCodes]]


def reconstruct_sequentially(
    algorithm: str,
    words: str,
    learn: Learn,
    graph: Graph,
    plan: Plan,
    samples: Samples,
    held_back: Samples,
    *,
    reference: Graph | None,
    settings: DataclassInstance,
    checkpoint: str | os.PathLike[str] | None,
    version: int,
    whole_blocks: bool = False,
) -> Recovery:
    """Find the codes of every constant weight of a Conv, ConvTranspose, Gemm or MatMul, by layer or by block.

    Args:
        algorithm: name of the algorithm, for the history and the checkpoint.
        words: its settings, for the history.
        learn: finds the codes of one layer of a stage or, with `whole_blocks`, of all its layers.
        graph, plan, samples, held_back, reference, checkpoint: see `adaround`.
        settings: everything that `learn` depends on.
        version: version of the algorithm; a checkpoint of another version is refused.
        whole_blocks: learn all layers of a block together.
    """
    reference = graph if reference is None else reference
    found = RoundingCheckpoint(
        checkpoint, _belongs_to(f"{algorithm} {version}", graph, plan, reference, samples, settings)
    )
    network, real = Rounded(graph, plan, reference), Simulator(reference)
    parts = blocks(network.graph, network.layers)
    given, real_given = ActivationCache.at_inputs(network.quantized, samples), ActivationCache.at_inputs(real, samples)
    changed = 0
    for block in progress(parts, len(parts), algorithm):
        names = [str(n.name) for n in network.graph.nodes[block.start : block.stop] if n.name in network.layers]
        wanted = real_given.run_nodes(real, block.start, block.stop, {*block.live_after, *block.outputs})
        stage = BlockStage(network, real, block, given, real_given, wanted)
        for unit in [names] if whole_blocks else [[name] for name in names]:
            if not all(name in found.arrays for name in unit):
                learned = learn(stage, unit)
                shifts = {f"{_SHIFT}{name}": each.shift for name, each in learned.items()}
                found.add({**shifts, **{name: each.codes for name, each in learned.items()}})
            changed += network.take(
                {name: LearnedCodes(found.arrays[name], found.arrays[f"{_SHIFT}{name}"]) for name in unit}
            )
        given = given.run_nodes(network.quantized, block.start, block.stop, block.live_after)
        real_given = wanted.only(block.live_after)
    for name in network.layers:  # shifted biases must not have changed a weight scale, except of all-zero channels
        assert np.array_equal(network.held(name), found.arrays[name]), name
    total = sum(array.size for array in network.real_weights.values())
    text = (
        f"{algorithm} of {len(network.layers)} layers on {given.count} samples, {words}, "
        f"{100 * changed / max(total, 1):.1f} % of the weights not rounded to nearest"
    )
    return better_of(Trial(reference, held_back), algorithm, text, (graph, plan), (network.graph, network.plan))


def _belongs_to(
    algorithm: str, graph: Graph, plan: Plan, reference: Graph, samples: Samples, settings: DataclassInstance
) -> dict[str, Any]:
    """Return everything that the result depends on."""
    batches = ({name: x.cpu().numpy() for name, x in feed.items()} for feed in samples.feeds(Simulator(graph)))
    return run_fingerprint(
        graph_fingerprint(graph),
        {"samples": arrays_fingerprint(batches)},
        {
            "algorithm": algorithm,
            "reference": graph_fingerprint(reference),
            "plan": text_fingerprint(plan.to_json()),
            **asdict(settings),
        },
    )
