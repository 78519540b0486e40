"""State of a running training: steps, evaluations, checkpoints, and the best network at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from intaglio.data import Dataset
from intaglio.data.checks import sample_shapes
from intaglio.evaluation.curve import Point
from intaglio.evaluation.metric import Metric
from intaglio.files import data_fingerprint, run_fingerprint, text_fingerprint
from intaglio.graph import graph_fingerprint
from intaglio.graph.access import shape
from intaglio.processes import Processes
from intaglio.progress import progress
from intaglio.train.gradual import Schedule
from intaglio.train.loop import checkpoint
from intaglio.train.loop.checkpoint import State, begin_random
from intaglio.train.loop.compiled import compiled
from intaglio.train.loop.distributed import World
from intaglio.train.loop.divergence import check_loss, check_scales
from intaglio.train.loop.feed import Feed
from intaglio.train.loop.loader_feed import Loader, LoaderFeed
from intaglio.train.loop.logging import TensorBoard, line
from intaglio.train.loop.losses import Loss, Teacher
from intaglio.train.loop.lr_scaling import magnitudes
from intaglio.train.loop.lr_schedule import annealed
from intaglio.train.loop.optimizer import make_optimizer, set_learning_rate
from intaglio.train.loop.run_options import RunOptions, TrainResult
from intaglio.train.loop.score import TrainingScore
from intaglio.train.loop.settings import BATCH, TrainSettings
from intaglio.train.loop.training_samples import Batch, TrainingSamples
from intaglio.train.loop.user_loss import UserLoss
from intaglio.train.module import QuantizedModule
from intaglio.train.quantizers.quantizer import Quantizer
from intaglio.train.reestimate import reestimate_batch_norm

SCALES_EVERY = 50  # steps between two checks of all scales
BETWEEN = 1.0  # seconds between the lines of two epochs, which may be short


class LastCheckpoint:
    """Sentence about the last checkpoint, for errors; evaluated when it is printed."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __str__(self) -> str:
        if self.path is None or not self.path.exists():
            return "There is no checkpoint."
        return f"The last checkpoint is {self.path} (resume with --resume)."


class TrainingRun:
    """State of a running training."""

    def __init__(
        self,
        module: QuantizedModule,
        data: Dataset | Loader,
        settings: TrainSettings,
        own: UserLoss | None,
        metric: Metric | None,
        held_back: Dataset | None,
        teacher: nn.Module | Teacher | None,
        run_options: RunOptions,
        processes: Processes,
        described: Mapping[str, Any],
        kept: LastCheckpoint,
    ) -> None:
        self.module, self.settings, self.run_options, self.kept = module, settings, run_options, kept
        self.processes = processes
        self.device = run_options.found_device()
        self.loss = Loss(settings, module, teacher, own)
        self.feed: Feed | LoaderFeed
        samples = None
        if isinstance(data, Dataset):
            samples = self._read(data.cached() if data.once else data)
        settings = self.settings = self._with_batch(settings, samples)
        assert settings.batch is not None
        self.world = World(processes, settings.batch)
        if samples is not None:
            self.samples, self.per_epoch = len(samples), settings.steps_per_epoch(len(samples))
            self.feed = Feed(samples, settings, self.device, self.world.share, workers=run_options.workers)
        else:
            assert not isinstance(data, Dataset)
            self.feed = LoaderFeed(
                data,
                sample_shapes({str(v.name): shape(v) for v in module.graph.inputs}, batched=module.graph.batched),
                settings,
                self.device,
                classes=self.loss.classes,
                need_labels=not settings.imitates,
            )
            self.samples, self.per_epoch = self.feed.samples, self.feed.per_epoch
        self.total = settings.steps or max(1, round(settings.epochs * self.per_epoch))
        held = None if held_back is None else self._read(held_back)
        self.score = (
            None if held is None else TrainingScore(held, self.feed, self.world, self.loss, metric, self.processes)
        )
        self.belongs_to = self._belongs_to(data, described, metric)
        module.to(self.device)
        if settings.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        sizes = magnitudes(module, self.feed.first(), classes=self.loss.classes is not None)
        module.pace(sizes)
        self.optimizer = make_optimizer(module, settings, sizes)
        self.schedule, self.gradual = Schedule(settings.freeze_ranges, settings.freeze_batch_norm), settings.gradually()
        self.lr = settings.learning_rate(module.narrowest)
        self.step, self.seconds, self.pending, self.count = 0, 0.0, 0.0, 0
        self.told = -BETWEEN  # when the last line was told
        self.curve: list[Point] = []
        self.best: dict[str, Any] = {}

    def _with_batch(self, settings: TrainSettings, samples: TrainingSamples | None) -> TrainSettings:
        """Settle the batch size; that of a user's loader is its own."""
        if samples is None:
            return replace(settings, batch=settings.batch or BATCH)
        world = self.processes.world
        note = settings.batch_note(len(samples), world)
        if note and self.run_options.tell is not None and self.processes.rank == 0:
            self.run_options.tell(note)
        return replace(settings, batch=settings.batch_for(len(samples), world))

    def _read(self, data: Dataset) -> TrainingSamples:
        return TrainingSamples(
            data,
            self.loss.classes,
            cache=self.run_options.cache,
            need_labels=not self.settings.imitates,
            targets=self.loss.own is not None,
        )

    def _belongs_to(
        self, data: Dataset | Loader, described: Mapping[str, Any], metric: Metric | None
    ) -> dict[str, Any]:
        """Return everything that the result depends on."""
        module = self.module
        kinds = sorted({type(q).__name__ for q in module.quantizers.values()})
        if isinstance(self.feed, LoaderFeed):  # its content may be augmented, and differ each time
            read = f"{self.feed.name}, {self.per_epoch} batches"
        else:
            read = data_fingerprint(data)
        own = {} if self.loss.own is None else {"loss": self.loss.own.fingerprint}
        own |= {} if metric is None else {"metric": metric.fingerprint}
        return run_fingerprint(
            graph_fingerprint(module.graph),
            {"data": read},
            {
                **own,
                "target": module.plan.target,
                **described,
                "plan": text_fingerprint(module.plan.to_json()),
                "quantizers": ", ".join(kinds),
                "samples held back": 0 if self.score is None else len(self.score.samples),
                **self.settings.to_json(),
            },
        )

    def run(self) -> TrainResult:
        """Run the training."""
        begin_random(self.settings.seed, self.world.rank)
        if self.run_options.resume:
            self._restore()
        else:
            self._begin()
        wrapped = self.world.wrapped(self.module, self.device)
        called = compiled(wrapped) if self.settings.compile else wrapped
        board = self._board()
        started, first = time.monotonic(), self.step
        self.saved, self.before = started, self.seconds
        with nullcontext() if board is None else closing(board), self.loss.watching():
            batches = progress(self.feed.batches(self.step, self.total), self.total - first, "train")
            for self.step, batch in enumerate(batches, start=first + 1):
                self._one_step(called, batch)
                self.seconds = self.before + time.monotonic() - started
                self._after_step(board, (self.step - first) / max(time.monotonic() - started, 1e-9))
        return self._finished()

    def _one_step(self, called: Callable[..., Any], batch: Batch) -> None:
        """Run forward pass, backward pass and an optimizer step. `self.step` already counts this step."""
        number = self.step - 1
        self._apply_schedule(number)
        self.module.train()
        inputs, labels = self.feed.given(batch, number)
        lr = annealed(number, self.total, self.lr, final=self.settings.final_lr, warmup=self.settings.warmup)
        set_learning_rate(self.optimizer, lr)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self.loss(called(*inputs), labels, inputs) + self.module.penalty()
        value = self.world.summed(loss.detach())[0] / self.world.world
        check_loss(value, self.step, self.module, inputs, self.kept)
        loss.backward()
        self.optimizer.step()
        self.module.after_step(self.step / self.total)
        self.world.average_buffers(self.module)
        self.pending, self.count = self.pending + value, self.count + 1
        self.last_lr = lr

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _apply_schedule(self, number: int) -> None:
        """Apply what depends on the progress; repeated at each step, so that resuming needs no extra state."""
        progress = number / self.total
        self.schedule.apply(self.module, progress)
        if self.gradual is not None:
            self.gradual.apply(self.module, progress)

    def _after_step(self, board: TensorBoard | None, rate: float) -> None:
        """Evaluate, log, check scales and save, if due."""
        ends = self.step == self.total
        evaluates = ends or self.step % self.per_epoch == 0
        speaks = self.step % self.run_options.lines == 0
        if evaluates or self.step % SCALES_EVERY == 0:
            check_scales(self.module, self.step, self.kept)
        if evaluates or speaks:
            self._add_point(self.score(self.module) if evaluates and self.score is not None else None, board, rate)
        if evaluates:
            self._keep_best(self.curve[-1])
        if evaluates or self._time_to_save():
            self._save()

    def _add_point(self, score: float | None, board: TensorBoard | None, rate: float) -> None:
        loss = self.pending / max(self.count, 1)
        self.pending, self.count = 0.0, 0
        metric = "top1" if self.score is None else self.score.metric
        point = Point(self.step, self.step / self.per_epoch, loss, self.last_lr, score, self.seconds, metric)
        self.curve.append(point)
        if board is not None:
            board.add(point)
        due = self.step % self.run_options.lines == 0 or self.step == self.total
        if self.run_options.tell is not None and self.world.leads and (due or time.monotonic() - self.told > BETWEEN):
            self.run_options.tell(line(point, self.total, self.total / self.per_epoch, rate))
            self.told = time.monotonic()

    def _keep_best(self, point: Point) -> None:
        """Keep the parameters if the score is at least as good as before; later ones had a smaller learning rate."""
        if (
            point.score is None
            or self.score is None
            or not self.best
            or self.score.not_worse(point.score, self.best["score"])
        ):
            state = {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}
            self.best = {"score": point.score, "step": point.step, "module": state}

    def _time_to_save(self) -> bool:
        if self.run_options.path is None:
            return False
        if self.run_options.steps is not None and self.step % self.run_options.steps == 0:
            return True
        return self.world.leads and time.monotonic() - self.saved > 60 * self.run_options.minutes

    def _save(self) -> None:
        if self.run_options.path is None or not self.world.leads:
            return
        check_scales(self.module, self.step, self.kept)
        state = State(
            self.step,
            self.module.state_dict(),
            self.optimizer.state_dict(),
            checkpoint.random_state(),
            {"seconds": self.seconds, "loss": self.pending, "count": self.count, "lr": self.last_lr},
            [point.to_json() for point in self.curve],
            self.best,
        )
        checkpoint.save(self.run_options.path, self.belongs_to, state)
        self.saved = time.monotonic()

    def _restore(self) -> None:
        assert self.run_options.path is not None
        path = self.run_options.path
        state = self.processes.first(
            lambda: checkpoint.load(path, self.belongs_to)
        )  # processes on other machines do not have the file
        with checkpoint.fitting(path):
            self.module.load_state_dict(state.module)
            self.optimizer.load_state_dict(state.optimizer)
            self.step, self.best = state.step, state.best
            self.curve = [Point(**point) for point in state.curve]
            self.seconds, self.last_lr = state.running["seconds"], state.running["lr"]
            self.pending, self.count = state.running["loss"], state.running["count"]
            self._apply_schedule(max(self.step - 1, 0))
            if self.world.leads:
                checkpoint.restore_random_state(state.random)
        if not self.world.leads:
            begin_random(self.settings.seed, self.world.rank, self.step)

    def _begin(self) -> None:
        """Initialize uncalibrated scales from the whole first batch, equal on every process."""
        if not all(bool(q.begun) for q in self.module.quantizers.values() if isinstance(q, Quantizer)):
            state = {
                name: t.clone() for name, t in self.module.state_dict().items() if not name.startswith("quantizers.")
            }
            with torch.no_grad(), self._autocast():
                self.module.train()(*self.feed.first())
            self.module.load_state_dict(state, strict=False)
        self.world.begin_alike(self.module)

    def _board(self) -> TensorBoard | None:
        folder = self.run_options.tensorboard
        return None if folder is None or not self.world.leads else TensorBoard(folder, self.step)

    def _finished(self) -> TrainResult:
        """Load the best parameters; re-estimate batch norm if asked for, and keep that only if it is not worse."""
        self.module.load_state_dict(self.best["module"])
        best = next(point for point in self.curve if point.step == self.best["step"])
        again = self._reestimated() if self.settings.reestimate else None
        self.module.eval()
        higher = self.score is None or self.score.higher_is_better
        batch = None if isinstance(self.feed, LoaderFeed) else self.settings.batch
        return TrainResult(tuple(self.curve), best, self.total, self.samples, self.seconds, again, higher, batch)

    def _reestimated(self) -> tuple[float, float] | None:
        before = None if self.score is None else self.score(self.module)
        state = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        changed = reestimate_batch_norm(self.module, self.feed.plain(self.settings.reestimate))
        if changed == 0 or before is None or self.score is None:
            return None
        after = self.score(self.module)
        if not self.score.not_worse(after, before):
            self.module.load_state_dict(state)
        return before, after
