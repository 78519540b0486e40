"""Top of the report: gate verdict, accuracy, agreement, size and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.report import words
from intaglio.report.energy import energy_words
from intaglio.report.facts import Facts


@dataclass(frozen=True)
class Verdict:
    """First line of the report; `state` is passed, failed or unchecked."""

    state: str
    text: str


@dataclass(frozen=True)
class HeadlineTile:
    """One figure: label, value and notes; `main` marks the most important one."""

    label: str
    value: str
    notes: tuple[str, ...] = ()
    main: bool = False


def verdict(facts: Facts) -> Verdict:
    """Summarize the gates; failed ones with their numbers."""
    failed = [gate for gate in facts.gates if not gate.passed]
    if failed:
        which = "; ".join(f"{gate.name} ({gate.detail})" for gate in failed)
        return Verdict("failed", words.clean(f"{'Gates' if len(failed) > 1 else 'Gate'} failed: {which}"))
    if not facts.gates:
        return Verdict("unchecked", "No gate was checked, because nothing was measured.")
    names = ", ".join(gate.name for gate in facts.gates)
    return Verdict("passed", words.clean(f"All gates passed: {names}."))


def tiles(facts: Facts) -> list[HeadlineTile]:
    """Return the known figures, most important first."""
    return [*_accuracy(facts), *_agreement(facts), *_costs(facts)]


def _accuracy(facts: Facts) -> Iterator[HeadlineTile]:
    reference = facts.scores.get("float")
    for stage in sorted(facts.scores, key=lambda s: s != "integer"):  # the integer program comes first
        score = facts.scores[stage]
        notes = [f"{score.metric} on {words.count(score.samples, 'sample')}"]
        if reference is not None and stage != "float" and reference.metric == score.metric:
            notes.insert(0, f"{words.change(score.unit, score.value, reference.value)} against float")
        label = {"integer": "Integer program", "float": "Float network", "simulated": "Simulation"}.get(stage, stage)
        yield HeadlineTile(label, words.score(score.unit, score.value), tuple(notes), main=stage == "integer")


def _agreement(facts: Facts) -> Iterator[HeadlineTile]:
    for pair, value in facts.agreement.items():
        yield HeadlineTile(words.clean(f"{pair.capitalize()} agree"), f"{value:.2f} %", ("the same prediction",))


def _costs(facts: Facts) -> Iterator[HeadlineTile]:
    real, integer = facts.nbytes.get("float"), facts.nbytes.get("integer")
    if integer is not None:
        notes = ["parameters of the integer program"]
        if real:
            notes.append(f"float: {words.size(real)}" + (f", {real / integer:.1f} times as much" if integer else ""))
        yield HeadlineTile("Size", words.size(integer), tuple(notes))
    if facts.latency is not None:
        one, many = words.latency(facts.latency.nanoseconds), words.per_second(facts.latency.per_second)
        where = f"{facts.latency.processor}, {words.count(facts.latency.threads, 'thread')}"
        yield HeadlineTile("Samples a second", many, (f"{one} for one sample, compiled C", words.clean(where)))
    if facts.energy is not None and facts.energy.arithmetic:
        notes = [f"estimated; float32 {facts.energy.ratio:.1f} times as much", "from a published table, see Cost"]
        yield HeadlineTile("Energy of arithmetic", energy_words(facts.energy.arithmetic), tuple(notes))
    if facts.seconds:
        steps = ", ".join(f"{words.clean(step)} {words.duration(s)}" for step, s in facts.seconds.items())
        yield HeadlineTile("Time", words.duration(sum(facts.seconds.values())), (steps,))
    if facts.peak_memory_bytes is not None:
        yield HeadlineTile("Peak memory", words.size(facts.peak_memory_bytes), ("of the whole process",))
