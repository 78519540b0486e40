"""Built-in metrics: by hand, against the libraries that define them, and the same for every division into batches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.errors import DataError, UsageError
from intaglio.evaluation import METRICS, Metric, metric_of
from intaglio.evaluation.metric import targets_of
from intaglio.evaluation.metrics.error_rates import character_error_rate, decode, word_error_rate
from intaglio.evaluation.metrics.image_errors import peak_signal_to_noise
from intaglio.evaluation.metrics.mean_average_precision import mean_average_precision

RNG = np.random.default_rng(5)
NEEDS = {"AUC": "sklearn", "spearman": "scipy", "mAP": "pycocotools", "mAP50": "pycocotools", "wer": "rapidfuzz",
         "cer": "rapidfuzz"}  # fmt: skip
LETTERS = ("<blank>", "a", "b", "c", "|")


def needed(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason="needs the libraries of the extra `metrics`")


def value(metric: str | Metric, outputs: Any, targets: Any, batch: int = 1000) -> float:
    """Run a metric over batches."""
    given = metric_of(metric).for_names(LETTERS)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    state = given.way.begin()
    for at in range(0, len(targets), batch):
        some = slice(at, at + batch)
        state = given.way.add(state, tuple(y[some] for y in outputs), targets[some])
    return given.way.value(state)


def boxes(count: int) -> tuple[Any, Any]:
    """Pictures with objects of three classes, and detections that are moved, missing or too many."""
    labels, found = [], []
    for _ in range(count):
        k = int(RNG.integers(1, 5))
        corner = RNG.uniform(0, 50, (k, 2))
        box = np.concatenate([corner, corner + RNG.uniform(8, 40, (k, 2))], axis=1)
        kind = RNG.integers(0, 3, k)
        labels.append({"boxes": box, "labels": kind})
        rows = np.zeros((6, 6), np.float32)
        rows[:k, :4] = box + RNG.normal(0, 2, (k, 4))
        rows[:k, 4] = RNG.uniform(0.2, 1, k)
        rows[:k, 5] = np.where(RNG.random(k) < 0.8, kind, RNG.integers(0, 3, k))
        rows[5] = [*RNG.uniform(0, 20, 2), *RNG.uniform(30, 60, 2), RNG.uniform(0.1, 0.5), RNG.integers(0, 3)]
        found.append(rows)
    return np.stack(found), labels


def case(name: str) -> tuple[Any, Any]:
    """Outputs and targets of 17 samples."""
    n = 17
    match name:
        case "mse" | "psnr":
            target = RNG.uniform(0, 1, (n, 2, 3)).astype(np.float32)
            return target + RNG.normal(0, 0.1, target.shape).astype(np.float32), target
        case "spearman":
            y = RNG.normal(size=(n, 1)).astype(np.float32)
            return y, (y[:, 0] + RNG.normal(size=n)).astype(np.float32)
        case "mIoU":
            labels = RNG.integers(0, 4, (n, 5, 6)).astype(np.uint8)
            labels[RNG.random(labels.shape) < 0.1] = 255
            return RNG.normal(size=(n, 4, 5, 6)).astype(np.float32) + np.eye(5)[np.minimum(labels, 4), :4].transpose(
                0, 3, 1, 2
            ), labels
        case "perplexity":
            tokens = RNG.integers(0, 7, (n, 5))
            tokens[RNG.random(tokens.shape) < 0.1] = -100
            return RNG.normal(size=(n, 5, 7)).astype(np.float32), tokens
        case "wer" | "cer":
            texts = ["".join(RNG.choice(["a", "b", "c", " "], 6)) for _ in range(n)]
            return RNG.normal(size=(n, 12, 5)).astype(np.float32), [t or "a" for t in texts]
        case "mAP" | "mAP50":
            return boxes(n)
    return RNG.normal(size=(n, 4)).astype(np.float32), RNG.integers(0, 4, n)


@pytest.mark.parametrize("name", METRICS)
def test_the_value_depends_neither_on_batches_nor_on_processes(name: str) -> None:
    needed(name)
    metric = METRICS[name].for_names(LETTERS)
    outputs, targets = case(name)
    whole = value(metric, outputs, targets)
    assert math.isfinite(whole)
    for batch in (1, 5):
        assert value(metric, outputs, targets, batch) == pytest.approx(whole, rel=1e-12)
    assert metric.way.shares
    parts = [metric.way.add(metric.way.begin(), (outputs[at],), targets[at]) for at in (slice(0, 6), slice(6, None))]
    assert metric.way.value(metric.way.join(parts)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_found_by_its_name_in_small_letters(name: str) -> None:
    assert metric_of(name.lower()) is METRICS[name]
    assert METRICS[name].fingerprint == name


def test_any_number_of_best_classes() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    labels = np.array([0, 1, 2])
    assert [value(f"top{k}", scores, labels) for k in (1, 2, 3)] == pytest.approx([100 / 3, 200 / 3, 100])
    with pytest.raises(UsageError, match="metric: expected one of"):
        metric_of("top0")


def test_mean_squared_error_takes_targets_of_a_single_output() -> None:
    assert value("mse", np.array([[1.0], [3.0]]), np.array([0.0, 1.0])) == 2.5
    with pytest.raises(DataError, match=r"expected shape \(2, 2\) \(the model's output\), got \(2, 3\)"):
        value("mse", np.zeros((2, 2)), np.zeros((2, 3)))
    assert METRICS["mse"].loss(1.1, 1.0) == pytest.approx(10.0), "percent of the float network's"


def test_peak_signal_to_noise_by_hand() -> None:
    targets = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    errors = np.array([[0.1, 0.1], [0.2, 0.2], [0.0, 0.0]])
    want = (10 * math.log10(4 / 0.01) + 10 * math.log10(4 / 0.04) + 200.0) / 3
    assert value("psnr", targets + errors, targets) == pytest.approx(want)
    assert value(peak_signal_to_noise(255.0), targets + 1.0, targets) == pytest.approx(20 * math.log10(255))


def test_mean_iou_by_hand() -> None:
    """Class 0: 2 of 4 pixels of the union; class 1: 1 of 3; class 2 is only predicted; one pixel does not count."""
    labels = np.array([[[0, 0, 0, 1], [1, 0, 255, 1]]])[:, :, :]
    predicted = np.array([[[0, 0, 1, 1], [2, 1, 1, 2]]])
    want = 100 * (2 / 4 + 1 / 5) / 2
    scores = np.eye(3)[predicted]
    assert value("mIoU", scores.transpose(0, 3, 1, 2), labels) == pytest.approx(want)
    assert value("mIoU", scores, labels) == pytest.approx(want), "channels last"
    assert value("mIoU", predicted.astype(np.float32), labels) == pytest.approx(want), "class indices"
    with pytest.raises(DataError, match=r"mIoU: expected labels of shape \(1, 2, 4\), as the outputs have, got shape"):
        value("mIoU", scores.transpose(0, 3, 1, 2), labels[:, :1])
    with pytest.raises(DataError, match=r"mIoU: expected labels below 3 \(the model's output\), got 3"):
        value("mIoU", scores, labels + 2 * (labels == 1))


def test_mean_iou_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (extra `metrics`)")
    outputs, labels = case("mIoU")
    counted = labels != 255
    want = metrics.jaccard_score(labels[counted], outputs.argmax(1)[counted], average="macro")
    assert value("mIoU", outputs, labels) == pytest.approx(100 * want)


def test_f1_by_hand_and_as_in_scikit_learn() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.1])
    labels = np.array([1, 0, 1, 1, 0])  # 2 hits, 1 too many, 1 missed
    assert value("F1", scores, labels) == pytest.approx(100 * 2 * 2 / (2 * 2 + 1 + 1))
    assert value("F1", scores[:, None], labels, 2) == pytest.approx(200 / 3)
    with pytest.raises(DataError, match="expected one output to be the probability of class 1, 0 to 1, got -1 to"):
        value("F1", scores - 1.1, labels)
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (extra `metrics`)")
    outputs, labels = case("F1")
    want = metrics.f1_score(labels, outputs.argmax(1), average="macro")
    assert value("F1", outputs, labels) == pytest.approx(100 * want)


def test_area_under_curve_by_hand_and_as_in_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (extra `metrics`)")
    scores, labels = np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1])  # 3 pairs in order, one tie
    assert value("AUC", scores, labels) == pytest.approx(100 * 3.5 / 4)
    two = np.stack([-scores, scores], axis=1)
    assert value("AUC", two, labels) == pytest.approx(100 * 3.5 / 4)
    outputs, labels = case("AUC")
    share = np.exp(outputs.astype(np.float64)) / np.exp(outputs.astype(np.float64)).sum(axis=1, keepdims=True)
    want = metrics.roc_auc_score(labels, share, multi_class="ovr")
    assert value("AUC", share, labels) == pytest.approx(100 * want)
    with pytest.raises(DataError, match="AUC: expected labels of at least two classes, got only class 1"):
        value("AUC", scores, np.ones(4, int))
    with pytest.raises(DataError, match="AUC: expected labels below 2"):
        value("AUC", scores, np.array([0, 1, 2, 1]))


def test_spearman_by_hand() -> None:
    pytest.importorskip("scipy", reason="needs SciPy (extra `metrics`)")
    y, t = np.array([[1.0], [20.0], [300.0], [4.0]]), np.array([1.0, 2.0, 4.0, 3.0])
    assert value("spearman", y, t) == pytest.approx(1 - 6 * (0 + 1 + 0 + 1) / (4 * 15))
    assert math.isnan(value("spearman", np.ones((4, 1)), t)), "constant outputs have no order"


def test_perplexity_by_hand() -> None:
    """Two tokens with probabilities 1/2 and 1/8, one that is not counted."""
    p = np.array([[[0.5, 0.25, 0.25], [0.125, 0.5, 0.375], [0.1, 0.1, 0.8]]])
    tokens = np.array([[0, 0, -100]])
    want = math.sqrt(2 * 8)
    assert value("perplexity", np.log(p) + 3.0, tokens) == pytest.approx(want)
    first = np.log(p[:, :2]).transpose(0, 2, 1)
    assert value("perplexity", first, tokens[:, :2]) == pytest.approx(want), "vocabulary in axis 1, as in PyTorch"
    assert value("perplexity", np.log(p[0]), tokens[0], batch=1) == pytest.approx(want), "one token a sample"
    with pytest.raises(DataError, match="expected scores before softmax, got probabilities"):
        value("perplexity", p, tokens)
    with pytest.raises(DataError, match="expected tokens below 3"):
        value("perplexity", np.log(p), tokens + 3)


def test_decoding_removes_repeats_then_blanks() -> None:
    steps = np.array([[0, 1, 1, 0, 1, 2, 2, 0], [3, 3, 3, 3, 3, 3, 3, 3]])
    assert decode(np.eye(4)[steps], 0) == [[1, 1, 2], [3]]
    assert decode(np.array([[1, 1, 0, 2, -1]]), 0) == [[1, 1, 2]], "class indices are no steps in time"


def test_error_rates_by_hand() -> None:
    """'ab c' for 'ab cc' misses one of five characters; 'a' for 'b a' one of three characters, one of two words."""
    pytest.importorskip("rapidfuzz", reason="needs RapidFuzz (extra `metrics`)")
    steps = np.array([[1, 2, 4, 3, 3, 0], [1, 1, 1, 0, 0, 0]])
    outputs, texts = np.eye(5)[steps], ["ab cc", "b a"]
    assert value("cer", outputs, texts) == pytest.approx(100 * (1 + 2) / 8)
    assert value("wer", outputs, texts) == pytest.approx(100 * (1 + 1) / 4)
    codes = np.array([[1, 2, 4, 3, 3], [2, 4, 1, -1, -1]])
    assert value("cer", outputs, codes) == pytest.approx(100 * 3 / 8), "labels as classes"
    assert value(character_error_rate("_abc "), outputs, texts) == pytest.approx(100 * 3 / 8)
    assert value(word_error_rate(["a", "b", "c", "|", "_"], blank=4), np.eye(5)[(steps - 1) % 5], texts) == 50.0
    state = METRICS["wer"].way
    with pytest.raises(DataError, match="wer: expected names of the classes"):
        state.add(state.begin(), (outputs,), texts)


def test_error_rates_are_those_of_jiwer() -> None:
    jiwer = pytest.importorskip("jiwer", reason="needs jiwer")
    needed("wer")
    outputs, texts = case("wer")
    texts = [" ".join(("a" + text).split()) for text in texts]
    found = ["".join(" " if LETTERS[c] == "|" else LETTERS[c] for c in codes) for codes in decode(outputs, 0)]
    assert value("wer", outputs, texts) == pytest.approx(100 * jiwer.wer(texts, found))
    texts, found = (["".join(text.split()) or "a" for text in part] for part in (texts, found))
    found = [text.ljust(12, "a") for text in found]
    steps = np.array([[LETTERS.index(c) for c in text] for text in found], np.float32)
    assert value("cer", steps, texts) == pytest.approx(100 * jiwer.cer(texts, found))


def test_mean_average_precision_by_hand() -> None:
    """One class, two objects: the best detection is right, the second is not, the third is: precision 1 and 2/3."""
    needed("mAP")
    labels = [{"boxes": np.array([[0, 0, 10, 10], [20, 20, 30, 30]]), "labels": np.array([4, 4])}]
    rows = [[0, 0, 10, 10, 0.9, 4], [50, 50, 60, 60, 0.8, 4], [20, 20, 30, 30, 0.7, 4], [0, 0, 9, 9, 0.0, 4]]
    outputs = np.array([rows], np.float32)
    want = 100 * (51 * 1 + 50 * 2 / 3) / 101  # 101 recalls: 0 to 0.5, and above
    for name in ("mAP", "mAP50"):
        assert value(name, outputs, labels) == pytest.approx(want)
    apart = outputs[..., :4], outputs[..., 4], outputs[..., 5]
    assert value("mAP", apart, labels) == pytest.approx(want)
    each = np.zeros((1, 4, 5))
    each[..., 4] = outputs[..., 4]
    assert value("mAP", (outputs[..., :4], each), labels) == pytest.approx(want)
    padded = np.array([[[0, 0, 10, 10, 4], [20, 20, 30, 30, 4], [0, 0, 0, 0, -1]]])
    assert value("mAP", outputs, padded) == pytest.approx(want)
    shifted = outputs + np.array([0, 0, 0, 4, 0, 0])  # intersection over union 10 / 14: 5 of 10 thresholds
    assert value("mAP", shifted, labels) == pytest.approx(want / 2)
    assert value("mAP50", shifted, labels) == pytest.approx(want)

    def swapped(y: np.ndarray) -> list[Any]:
        return [(rows[:, [1, 0, 3, 2]], rows[:, 4], rows[:, 5]) for rows in y]

    assert value(mean_average_precision(swapped), outputs[..., [1, 0, 3, 2, 4, 5]], labels) == pytest.approx(want)
    assert mean_average_precision(swapped).fingerprint != mean_average_precision().fingerprint


@pytest.mark.parametrize(
    ("outputs", "labels", "text"),
    [
        (np.zeros((1, 3, 7)), [np.zeros((0, 5))], r"mAP: expected detections: .*, got outputs of shape \(1, 3, 7\)"),
        (np.zeros((1, 3, 6)), [np.zeros((2, 4))], r"labels of a picture as \(K, 5\).*, got shape \(2, 4\)"),
        (np.zeros((1, 3, 6)), [{"bbox": []}], "expected labels with 'boxes' and 'labels', got bbox"),
    ],
)
def test_detections_of_another_form_are_refused(outputs: Any, labels: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        value("mAP", outputs, labels)


def test_the_page_describes_every_metric() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = {
        cell: line
        for line in page.splitlines()
        if line.startswith("| `")
        for cell in line.split(" |")[0][3:-1].split("`, `")
    }
    for name, metric in METRICS.items():
        unit, better = (cell.strip() for cell in rows[name].split("|")[2:4])
        assert unit == (metric.unit or "none"), name
        assert better == ("higher" if metric.higher_is_better else "lower"), name


def test_texts_become_a_list() -> None:
    assert targets_of(np.array(["a", "b"])) == ["a", "b"]
    assert isinstance(targets_of(np.zeros(3)), np.ndarray)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.metrics", None)
    with pytest.raises(UsageError, match=r"scikit-learn is needed to compute AUC .* pip install 'intaglio\[metrics\]'"):
        value("AUC", np.zeros(4), np.array([0, 1, 0, 1]))
