"""Written analysis: which activation won, and why. What a machine can check of it, and it says that it is not more."""

from __future__ import annotations

import math
from statistics import stdev

from triode.bakeoff.grade.evidence import Evidence
from triode.bakeoff.grade.prose import (
    GENERATED,
    figures,
    mentioned,
    patterns,
    recorded,
    says_it_wins,
    sentences,
    texts,
    words,
)
from triode.bakeoff.grade.score import Criterion, Score, listed

EACH = 5.0
"""Points for its length, for the winner, for its figures."""
LENGTH = 150
"""Words of a full analysis."""
FIGURES = 3
"""Figures from the records that it must quote."""
ALIEN = (1.0, 4.0)
"""Figures from elsewhere that are let pass for each of the records': in a text of one's own, and in the generated
report, which is full of intervals."""
LIMIT = (
    "A machine checks the length, the winner and the figures; whether the reasons are right is for a person."
)


def judge(evidence: Evidence) -> Score:
    """Five points each for at least 150 words, for naming the winner, and for figures that agree with the records."""
    found = texts(evidence.directory)
    if not found:
        return Score(
            0.0,
            (f"There is no text such as analysis.md, and no {GENERATED}.",),
            f"write analysis.md: at least {LENGTH} words on which activation won and why, with its figures",
        )
    name, text = found[0]
    count = words(text)
    said = [f"{name}{', which triode wrote' if name == GENERATED else ''}: {count} words."]
    hints = [] if count >= LENGTH else [f"write at least {LENGTH} words"]
    points = EACH * min(1.0, count / LENGTH)
    for part in (_winner(evidence, text), _figures(evidence, text, ALIEN[name == GENERATED])):
        points += part.points
        said += part.evidence
        hints += [part.hint] if part.hint else []
    return Score(points, (*said, LIMIT), "; ".join(hints))


def winners(evidence: Evidence) -> tuple[str, ...]:
    """The activation with the best mean, first, and those within two standard errors of it."""
    measure = evidence.measure
    sign = 1.0 if measure.larger_is_better else -1.0
    values = {
        name: [sign * getattr(trial, measure.field) for trial in evidence.trials(name)]
        for name in evidence.activations
    }
    whole = {name: row for name, row in values.items() if row and all(math.isfinite(value) for value in row)}
    if not whole:
        return ()
    means = {name: sum(row) / len(row) for name, row in whole.items()}
    best = max(means, key=lambda name: means[name])
    rivals = [name for name in whole if name != best and _near(whole[name], whole[best])]
    return (best, *rivals)


def _near(row: list[float], best: list[float]) -> bool:
    if min(len(row), len(best)) < 2:
        return False
    error = math.hypot(stdev(row) / math.sqrt(len(row)), stdev(best) / math.sqrt(len(best)))
    return abs(sum(row) / len(row) - sum(best) / len(best)) <= 2 * error


def _winner(evidence: Evidence, text: str) -> Score:
    best = winners(evidence)
    if not best:
        return Score(0.0, ("The records have no winner to compare it with.",))
    known = patterns(evidence.activations)
    rivals = f" ({listed(best[1:])} within two standard errors of it)" if len(best) > 1 else ""
    record = f"by the records {best[0]} has the best mean {evidence.measure.name}{rivals}"
    called = {
        name for sentence in sentences(text) if says_it_wins(sentence) for name in mentioned(sentence, known)
    }
    if called & set(best):
        return Score(
            EACH, (f"It names {listed(sorted(called & set(best)))} where it speaks of the best; {record}.",)
        )
    if set(best) & set(mentioned(text, known)):
        return Score(
            EACH / 2, (f"It mentions {best[0]}, but not as the best; {record}.",), "say which activation won"
        )
    return Score(0.0, (f"It does not name the winner; {record}.",), "say which activation won")


def _figures(evidence: Evidence, text: str, alien: float) -> Score:
    known = patterns(evidence.activations)
    truth = recorded(evidence)
    everything = [value for row in truth.values() for value in row]
    right: list[str] = []
    wrong: list[str] = []
    for sentence in sentences(text):
        about = mentioned(sentence, known)
        allowed = [value for name in about for value in truth[name]] if about else everything
        allowed += (
            [abs(a - b) for a in _means(evidence, about) for b in _means(evidence, about)]
            if len(about) > 1
            else []
        )
        for figure in figures(sentence):
            match = any(abs(value - figure.value) <= figure.margin for value in allowed)
            (right if match else wrong).append(figure.text)
    if not right and not wrong:
        return Score(0.0, ("It quotes no figures.",), "quote the accuracies and losses it speaks of")
    said = (
        f"{len(right)} of its {len(right) + len(wrong)} figures are in the records of what the sentence names"
    )
    said += f" (not: {', '.join(wrong[:4])})." if wrong else "."
    agreement = min(1.0, alien * len(right) / len(wrong)) if wrong else 1.0
    points = EACH * min(1.0, len(right) / FIGURES) * agreement
    hint = f"quote at least {FIGURES} figures of the records" if len(right) < FIGURES else ""
    if agreement < 1:
        hint = "put the figures right that are not in the records"
    return Score(points, (said,), hint)


def _means(evidence: Evidence, names: list[str]) -> list[float]:
    field = evidence.measure.field
    rows = [[getattr(trial, field) for trial in evidence.trials(name)] for name in names]
    return [sum(row) / len(row) for row in rows if row]


CRITERION = Criterion("written-analysis", "Written analysis", 15, 5, judge)
