"""The training loop learns, repeats itself bit for bit, and goes on after a kill as if nothing had happened."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from intaglio_tests.loop_net import CLASSES, arrays, dataset, make_net, raw_graph

from intaglio.data import match, open_data
from intaglio.errors import DataError, TrainingError, UsageError
from intaglio.evaluation.model_stages import score
from intaglio.train.distill import distillation
from intaglio.train.freeze import freeze_graph
from intaglio.train.loop import RunOptions, TrainSettings, train
from intaglio.train.loop.augment import Augmentation
from intaglio.train.loop.divergence import check_scales, first_not_finite
from intaglio.train.loop.lr_schedule import annealed
from intaglio.train.loop.training_samples import ShuffledOrder, TrainingSamples
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule

FAST = TrainSettings(epochs=2, batch=32, lr=0.02, seed=7)


def trained(settings=FAST, *, target="w4a8", method="lsq", module=None, **more):
    module = prepare_qat(raw_graph(), target=target, method=method) if module is None else module
    return module, train(module, dataset(), settings, run_options=RunOptions(device="cpu"), **more)


class Stopped(Exception):  # noqa: N818  it is no error
    """A training that is interrupted."""


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "options", [{}, {"optimizer": "adamw"}, {"precision": "bf16"}, {"label_smoothing": 0.1}], ids=str
)
def test_training_lowers_the_loss(options) -> None:
    module, result = trained(replace(FAST, epochs=5, **options), held_back=dataset(128, seed=5))
    losses = [point.loss for point in result.curve if point.score is not None]
    assert losses[-1] < 0.8 * losses[0]
    assert result.best.score > 70
    assert not module.training


def test_the_frozen_network_is_the_one_that_was_evaluated() -> None:
    import intaglio as ig

    held = dataset(128, seed=5)
    module, result = trained(replace(FAST, epochs=3), held_back=held)
    graph, plan = freeze_graph(module)
    assert score(ig.Quantized(graph, plan), held).value == pytest.approx(result.best.score, abs=1.0)


def test_equal_arguments_give_equal_networks() -> None:
    settings = replace(FAST, augment=("crop", "flip"), pad=1)
    (a, first), (b, second) = trained(settings), trained(settings)
    assert same(a.state_dict(), b.state_dict())
    assert [p.loss for p in first.curve] == [p.loss for p in second.curve]
    c, _ = trained(replace(settings, seed=8))
    assert not same(a.state_dict(), c.state_dict())


@pytest.mark.parametrize(
    ("options", "estimator"),
    [
        ({}, "clipped"),
        ({"optimizer": "adamw"}, "clipped"),
        ({"freeze_batch_norm": 0.5, "precision": "bf16"}, "stochastic"),
        ({"gradual": "weights", "gradual_end": 0.9}, "dsq"),
        ({"gradual": "noise"}, "gumbel"),
    ],
    ids=str,
)
def test_a_resumed_training_ends_bit_identical(tmp_path, options, estimator) -> None:
    """Interrupted in the middle of an epoch, in this process."""
    settings = replace(FAST, augment=("crop", "flip"), pad=1, lr=0.005, **options)
    held = dataset(64, seed=5)
    whole, want = trained(settings, held_back=held, module=prepare_qat(raw_graph(), target="w4a8", estimator=estimator))

    def stop(line: str) -> None:
        if line.startswith("step 11 "):
            raise Stopped

    def begun():
        return prepare_qat(raw_graph(), target="w4a8", estimator=estimator)

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        train(begun(), dataset(), settings, held_back=held, run_options=RunOptions(path, steps=1, lines=1, tell=stop))
    torch.manual_seed(99)  # a new process has other random numbers
    module = begun()
    result = train(module, dataset(), settings, held_back=held, run_options=RunOptions(path, resume=True))
    assert same(whole.state_dict(), module.state_dict())
    assert [p.score for p in result.curve if p.score is not None] == [
        p.score for p in want.curve if p.score is not None
    ]
    assert result.best.step == want.best.step


SHARED = os.pathsep.join([str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", "")])
KILLED = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from intaglio_tests.loop_net import dataset_for
from intaglio.frontends import load_onnx
from intaglio.train.loop import RunOptions, TrainSettings, train
from intaglio.train.prepare import prepare_qat
path, resume, slow = sys.argv[1], sys.argv[2] == "resume", sys.argv[3] == "slow"
module = prepare_qat(load_onnx(sys.argv[4]), target="w4a8", method="lsq")
settings = TrainSettings(epochs=3, batch=32, lr=0.01, augment=("crop", "flip"), pad=1, seed=3)
tell = (lambda line: time.sleep(0.2)) if slow else None
run_options = RunOptions(Path(path), resume=resume, steps=5, lines=1, tell=tell, device="cpu")
train(module, dataset_for(module.graph), settings, held_back=dataset_for(module.graph, 64, 5), run_options=run_options)
torch.save(module.state_dict(), path + ".done")
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": SHARED, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_training_resumes_bit_identical(tmp_path) -> None:
    whole, killed, model = (str(tmp_path / name) for name in ("whole.pt", "killed.pt", "net.onnx"))
    raw_graph().save(model)
    done = python(KILLED, whole, "anew", "fast", model)
    assert done.wait(120) == 0, done.stderr.read()
    running = python(KILLED, killed, "anew", "slow", model)
    patience = time.monotonic() + 60
    while not Path(killed).exists() and time.monotonic() < patience:
        time.sleep(0.05)
    running.kill()
    running.wait()
    assert not Path(killed + ".done").exists()
    assert 0 < torch.load(killed, weights_only=True)["state"]["step"] < 24
    again = python(KILLED, killed, "resume", "fast", model)
    assert again.wait(120) == 0, again.stderr.read()
    assert same(torch.load(whole + ".done"), torch.load(killed + ".done"))
    for process in (done, running, again):
        process.stderr.close()


def interrupted(path: Path, settings: TrainSettings = FAST, **more) -> None:
    """A checkpoint as an interrupted training leaves it."""

    def stop(line: str) -> None:
        if line.startswith("step 3 "):
            raise Stopped

    module = prepare_qat(raw_graph(), target="w4a8")
    with pytest.raises(Stopped):
        train(module, dataset(), settings, run_options=RunOptions(path, steps=1, lines=1, tell=stop), **more)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("settings", "seed was 7, now 8"),
        ("target", "target was w4a8, now w2a8"),
        ("method", "quantizers was"),
        ("network", "network was"),
        ("data", "data was"),
        ("described", "teacher was absent, now other"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, named) -> None:
    path = tmp_path / "checkpoint.pt"
    interrupted(path)
    before = path.read_bytes()
    raw = raw_graph()
    if change == "network":
        other = make_net()
        other.fc.bias.data += 1
        from intaglio.frontends.torch import load_torch

        raw = load_torch(other, (torch.zeros(1, 3, 8, 8),))
    module = prepare_qat(
        raw,
        target="w2a8" if change == "target" else "w4a8",
        method="range" if change == "method" else "lsq",
    )
    with pytest.raises(UsageError, match=named) as refused:
        train(
            module,
            dataset(seed=9 if change == "data" else 4),
            replace(FAST, seed=8) if change == "settings" else FAST,
            run_options=RunOptions(path, resume=True),
            described={"teacher": "other"} if change == "described" else None,
        )
    assert "start again" in str(refused.value)
    assert path.read_bytes() == before


def test_damaged_foreign_and_missing_checkpoints_are_refused(tmp_path) -> None:
    path = tmp_path / "checkpoint.pt"

    def resume() -> None:
        train(prepare_qat(raw_graph(), target="w4a8"), dataset(), FAST, run_options=RunOptions(path, resume=True))

    with pytest.raises(UsageError, match="got no file"):
        resume()
    interrupted(path)
    whole = path.read_bytes()
    for cut in (0, 100, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:cut])
        with pytest.raises(UsageError, match="expected the checkpoint of a training"):
            resume()
    torch.save({"format": "something"}, path)
    with pytest.raises(UsageError, match="expected the checkpoint of a training"):
        resume()
    path.write_bytes(whole)
    data = torch.load(path, weights_only=True)
    torch.save({**data, "version": 2}, path)
    with pytest.raises(UsageError, match="expected the checkpoint of a training of version 1, got version 2"):
        resume()


def without(name):
    return lambda part: {key: value for key, value in part.items() if key != name}


DAMAGE = {
    "a parameter is missing": ("module", lambda part: dict(list(part.items())[1:])),
    "a parameter of another shape": ("module", lambda part: {k: torch.zeros(7, 7, 7) for k in part}),
    "no groups of the optimizer": ("optimizer", without("param_groups")),
    "other groups of the optimizer": ("optimizer", lambda part: {**part, "param_groups": []}),
    "no rate": ("running", without("lr")),
    "points of another kind": ("curve", lambda _: [{"when": 3}]),
    "a step in words": ("step", lambda _: "third"),
    "no numbers of PyTorch": ("random", without("torch")),
    "numbers of NumPy of another generator": ("random", lambda part: {**part, "numpy": ["PCG64", *part["numpy"][1:]]}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_is_whole_but_does_not_fit_is_refused(tmp_path, damage) -> None:
    path = tmp_path / "checkpoint.pt"
    interrupted(path)
    data = torch.load(path, weights_only=True)
    part, change = DAMAGE[damage]
    data["state"][part] = change(data["state"][part])
    torch.save(data, path)
    with pytest.raises(UsageError, match=r"checkpoint\.pt: expected the state of a training of this network"):
        train(prepare_qat(raw_graph(), target="w4a8"), dataset(), FAST, run_options=RunOptions(path, resume=True))


def test_a_checkpoint_that_would_run_code_is_not_run(tmp_path) -> None:
    path = tmp_path / "checkpoint.pt"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"format": "intaglio-training", "version": 1, "settings": Evil()}, path)
    with pytest.raises(UsageError, match="expected the checkpoint of a training"):
        train(prepare_qat(raw_graph(), target="w4a8"), dataset(), FAST, run_options=RunOptions(path, resume=True))
    assert not (tmp_path / "ran").exists()


def test_a_nan_loss_names_the_layer_and_keeps_the_checkpoint(tmp_path) -> None:
    path = tmp_path / "checkpoint.pt"
    module = prepare_qat(raw_graph(), target="w4a8")
    state = {}

    def poison(line: str) -> None:
        if line.startswith("step 5 "):
            state["before"] = path.read_bytes()
            module.fc.bias.data[1] = math.inf

    with pytest.raises(TrainingError) as stopped:
        train(module, dataset(), FAST, run_options=RunOptions(path, steps=2, lines=1, tell=poison))
    text = str(stopped.value)
    assert "step 6: expected a finite loss" in text
    assert "parameter 'fc.bias'" in text
    assert str(path) in text
    assert path.read_bytes() == state["before"]
    assert torch.load(path, weights_only=True)["state"]["step"] == 4


def test_the_first_value_that_is_not_finite_is_named() -> None:
    module = prepare_qat(raw_graph(), target="w4a8")
    x = torch.from_numpy(arrays(8)[0])
    module(x)
    assert "every value of the network is finite" in first_not_finite(module, (x,))
    assert first_not_finite(module, (x * math.nan,)) == f"input '{module.graph.inputs[0].name}'"
    bad = torch.full_like(module.get_buffer("stem.1.running_var"), -1.0)
    module.stem.get_submodule("1").running_var = bad  # whose root is no number
    first = module.graph.nodes[0]
    assert first_not_finite(module, (x,)) == f"value '{first.outputs[0].name}' of [Conv '{first.name}']"


def test_a_collapsed_or_nan_scale_is_named() -> None:
    for value, words in ((0.0, "collapsed to zero"), (-1e-30, "collapsed to zero"), (math.nan, "is NaN or infinite")):
        module = prepare_qat(raw_graph(), target="w4a8")
        module(torch.from_numpy(arrays(8)[0]))
        check_scales(module, 3, "")
        module.quantizer("fc.weight").scale.data.fill_(value)
        with pytest.raises(TrainingError, match=f"step 3: the scale of 'fc.weight' {words}"):
            check_scales(module, 3, "")


def test_scales_are_checked_before_a_checkpoint_is_written(tmp_path) -> None:
    path = tmp_path / "checkpoint.pt"
    module = prepare_qat(raw_graph(), target="w4a8")

    def spoil(line: str) -> None:
        if line.startswith("step 5 "):
            module.quantizer("fc.weight").scale.data.zero_()

    with pytest.raises(TrainingError, match=f"step 6: .*'fc.weight' collapsed to zero.*{path}"):
        train(module, dataset(), replace(FAST, lr=1e-9), run_options=RunOptions(path, steps=2, lines=1, tell=spoil))
    assert torch.load(path, weights_only=True)["state"]["step"] == 4


def test_short_epochs_print_few_lines(monkeypatch) -> None:
    told: list[str] = []
    settings = replace(FAST, epochs=6, batch=256)
    monkeypatch.setattr("intaglio.train.loop.training_run.BETWEEN", 1e9)
    module = prepare_qat(raw_graph(), target="w4a8")
    result = train(module, dataset(), settings, run_options=RunOptions(tell=told.append, device="cpu"))
    assert len(result.curve) == 6
    assert [line.split(" (")[0] for line in told] == ["step 1 of 6", "step 6 of 6"]


def test_a_scale_that_changes_its_sign_continues_with_its_magnitude() -> None:
    module = prepare_qat(raw_graph(), target="w4a8")
    x = torch.from_numpy(arrays(8)[0])
    with torch.no_grad():
        module(x)
        module.quantizer("fc.weight").scale.neg_()
    check_scales(module, 3, "")
    _, result = trained(module=module)
    assert all(math.isfinite(point.loss) for point in result.curve)
    assert bool((module.quantizer("fc.weight").scale_now() > 0).all())
    freeze_graph(module)


def test_labels_out_of_range_are_named() -> None:
    x, y = arrays()
    y[37] = CLASSES
    data = match(open_data((x, y)), (1, 3, 8, 8))
    with pytest.raises(DataError, match=f"label {CLASSES} is not among the model's {CLASSES} classes") as refused:
        train(prepare_qat(raw_graph(), target="w4a8"), data, FAST)
    assert "sample" in str(refused.value)


def test_a_batch_of_one_with_live_batch_norm_is_refused() -> None:
    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(12, 6)
            self.bn = torch.nn.BatchNorm1d(6)
            self.head = torch.nn.Linear(6, CLASSES)

        def forward(self, x):
            return self.head(torch.relu(self.bn(self.fc(x.flatten(1)))))

    x, y = arrays(16)
    module = prepare_qat(Pooled().eval(), torch.zeros(1, 3, 2, 2), target="cpu-int8")
    if not module.norms:
        pytest.skip("the batch norm of this network does not live")
    data = match(open_data((x[:, :, :2, :2], y)), (1, 3, 2, 2))
    with pytest.raises(DataError, match="expected more than 1 value per channel"):
        train(module, data, replace(FAST, batch=1))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UsageError, match="expected at most 256, the number of training samples"):
        trained(replace(FAST, batch=300))


def test_few_samples_are_one_batch_unless_the_batch_is_given() -> None:
    told: list[str] = []
    module = prepare_qat(raw_graph(), target="w4a8")
    options = RunOptions(device="cpu", tell=told.append)
    result = train(module, dataset(40), replace(FAST, batch=None), run_options=options)
    assert (result.batch, result.steps) == (40, 2)
    assert told[0] == "batch of 40 instead of 128, as there are only 40 training samples"
    assert TrainSettings().batch_for(41, processes=2) == 40
    assert TrainSettings().batch_for(500) == 128
    assert TrainSettings().batch_note(128) == TrainSettings(batch=16).batch_note(40) == ""


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0.0),
        ("lr", -1.0),
        ("batch", 0),
        ("steps", 0),
        ("optimizer", "newton"),
        ("precision", "int8"),
        ("augment", ("mixup",)),
        ("label_smoothing", 1.5),
        ("freeze_ranges", 2.0),
        ("warmup", math.nan),
        ("pad", -1),
        ("gradual", "sometimes"),
    ],
)
def test_impossible_settings_are_refused(setting, value) -> None:
    with pytest.raises(UsageError, match=setting.replace("_", "-")):
        replace(FAST, **{setting: value})


def test_every_epoch_sees_each_sample_at_most_once_in_another_order() -> None:
    orders = [[n for step in ShuffledOrder(50, 8, 3, 6 * e, 6 * e + 6) for n in step] for e in range(3)]
    assert all(len(set(order)) == 48 for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert list(ShuffledOrder(50, 8, 3, 7, 12)) == list(ShuffledOrder(50, 8, 3, 0, 12))[7:]


def test_processes_share_a_batch() -> None:
    whole = list(ShuffledOrder(50, 8, 3, 0, 9))
    parts = [list(ShuffledOrder(50, 8, 3, 0, 9, rank=rank, world=2)) for rank in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_samples_beyond_the_cache_are_the_same() -> None:
    data = dataset(64)
    whole, some = TrainingSamples(data, CLASSES), TrainingSamples(data, CLASSES, cache=20 * 4 * 3 * 64)
    assert whole.held == 64
    assert some.held == 20
    numbers = [0, 19, 20, 63, 5]
    for (x,), y in (whole[numbers], some[numbers]):
        np.testing.assert_array_equal(x.numpy(), arrays(64)[0][numbers])
        np.testing.assert_array_equal(y.numpy(), arrays(64)[1][numbers])


@pytest.mark.parametrize("shape", [(3, 6, 7), (6, 7, 3)])
def test_crops_and_flips_are_parts_of_the_padded_image(shape) -> None:
    x = torch.randn((5, *shape), generator=torch.Generator().manual_seed(0))
    augment = Augmentation(("crop", "flip"), shape, pad=2, seed=1)
    y = augment(x, 3)
    assert y.shape == x.shape
    assert torch.equal(y, augment(x, 3))
    assert not torch.equal(y, augment(x, 4))
    images, crops = (t if shape[2] == 3 else t.permute(0, 2, 3, 1) for t in (x, y))
    for image, crop in zip(images, crops, strict=True):
        padded = torch.zeros(10, 11, 3)
        padded[2:8, 2:9] = image
        candidates = [padded[i : i + 6, j : j + 7] for i in range(5) for j in range(5)]
        assert any(torch.equal(crop, c) or torch.equal(crop, c.flip(1)) for c in candidates)


def test_crops_of_a_sample_do_not_depend_on_the_number_of_processes() -> None:
    x = torch.randn(6, 3, 8, 8)
    augment = Augmentation(("crop", "flip"), (3, 8, 8), seed=1)
    parts = [augment(x[3 * rank : 3 * rank + 3], 2, (rank, 2)) for rank in range(2)]
    assert torch.equal(torch.cat(parts), augment(x, 2))


def test_only_images_are_augmented() -> None:
    with pytest.raises(UsageError, match="expected images"):
        Augmentation(("flip",), (12,))


def test_the_learning_rate_rises_and_falls_to_its_end() -> None:
    rates = [annealed(step, 100, 0.1, final=0.01, warmup=0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1 / 11)
    assert rates[10] == max(rates) == 0.1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] == pytest.approx(0.001)
    assert rates[54] == pytest.approx(0.1 * (0.01 + 0.99 / 2), rel=0.02)  # the middle of the cosine


def test_a_teacher_changes_the_training() -> None:
    settings = replace(FAST, distill=1.0, temperature=2.0, steps=1, warmup=0.0)
    module = prepare_qat(raw_graph(), target="w4a8")
    teacher = FloatModule(module.graph)
    x, _ = arrays()
    numbers = next(iter(ShuffledOrder(256, 32, settings.seed, 0, 1)))
    inputs = torch.from_numpy(x[numbers])
    twin = copy.deepcopy(module)
    twin(inputs)  # begins the grids, and moves the statistics of batch norm, which are put back
    twin.load_state_dict(
        {k: t for k, t in module.state_dict().items() if not k.startswith("quantizers.")}, strict=False
    )
    with torch.no_grad():
        want = float(distillation(twin.train()(inputs), teacher(inputs), 2.0))
    _, result = trained(settings, module=module, teacher=teacher)
    assert result.curve[0].loss == pytest.approx(want, rel=1e-4)
    with pytest.raises(UsageError, match="expected a teacher"):
        trained(settings)


def test_schedules_freeze_the_parameters_that_they_name() -> None:
    module, _ = trained(replace(FAST, freeze_batch_norm=0.5, freeze_ranges=0.5), method="range")
    assert module.batch_norm_frozen
    assert not any(getattr(q, "observes", False) for q in module.quantizers.values())


def test_statistics_are_reestimated_only_if_better() -> None:
    _, result = trained(replace(FAST, reestimate=4), held_back=dataset(128, seed=5))
    before, after = result.reestimated
    assert f"{before:.2f} to {after:.2f}" in result.sentence()
