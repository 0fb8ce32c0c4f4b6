"""Reading a written analysis: its words, what it calls best, and the figures it gives for whom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from triode.bakeoff.grade.evidence import Evidence, read

NAMED = re.compile(r"anal[yi]s|write.?up|conclusion|discussion|verdict|essay|answer", re.IGNORECASE)
SUFFIXES = (".md", ".txt", ".rst")
GENERATED = "report.md"
LONGEST = 400_000
"""Characters that are read of a text."""
_WINS = re.compile(
    r"\b(w[io]ns?|won|winn\w+|best|highest|lowest|top|first|beats?|outperform\w*|ahead|leads?|strongest|superior|"
    r"fastest|no (?:significant )?difference|not told apart|ties?|tied)\b",
    re.IGNORECASE,
)
_FIGURE = re.compile(
    r"(?<![\w.])(\d{1,3}\.\d{1,6}|\d{1,3})(?:\s*(%|per ?cent\b|percent\b))?(?![\w.]*\d)", re.IGNORECASE
)
_CODE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")


@dataclass(frozen=True)
class Figure:
    """A number in a text."""

    text: str
    value: float
    """As a share where it was a percentage."""
    margin: float
    """Half of its last decimal."""


def texts(directory: Path) -> list[tuple[str, str]]:
    """Names and contents of the analyses in a directory, the student's own first, the generated report last."""
    try:
        names = sorted(path.name for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError:
        return []
    own = [name for name in names if NAMED.search(name) and name != GENERATED]
    found = []
    for name in [*own, *(name for name in names if name == GENERATED)]:
        content = read(directory / name)
        if content and content.strip():
            found.append((name, without_code(content[:LONGEST])))
    return found


def without_code(text: str) -> str:
    """The text without blocks of code and pictures."""
    return _IMAGE.sub(" ", _CODE.sub(" ", text))


def words(text: str) -> int:
    r"""Number of words: runs of at least two letters outside the rows of tables.

    >>> words("ReLU won by 2 %.\n| relu | 3 |")
    3
    """
    prose = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))
    return len(re.findall(r"[^\W\d_]{2,}", prose))


def patterns(names: Iterable[str]) -> dict[str, re.Pattern[str]]:
    """For each activation what finds it in a text: its name, its aliases and its title, however they are written.

    >>> bool(patterns(["leaky_relu"])["leaky_relu"].search("the LeakyReLU"))
    True
    """
    from triode.catalogue import UnknownActivation, get

    found = {}
    for name in names:
        spellings = {name}
        try:
            activation = get(name)
            spellings |= {*activation.aliases, activation.title}
        except UnknownActivation:
            pass
        parts = sorted((_loosely(text) for text in spellings if text), key=len, reverse=True)
        found[name] = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(parts)})(?![a-z0-9])", re.IGNORECASE)
    return found


def mentioned(text: str, known: Mapping[str, re.Pattern[str]]) -> list[str]:
    """The activations that a text names; `leaky relu` does not name `relu`."""
    spans = {name: [match.span() for match in pattern.finditer(text)] for name, pattern in known.items()}
    every = [span for found in spans.values() for span in found]

    def inside(span: tuple[int, int]) -> bool:
        return any(other != span and other[0] <= span[0] and span[1] <= other[1] for other in every)

    return [name for name, found in spans.items() if any(not inside(span) for span in found)]


def sentences(text: str) -> list[str]:
    """The text in sentences; a row of a table and an item of a list are one each."""
    lines = re.split(r"\n\s*\n|\n(?=\s*(?:[|*+-]|\d+\.)\s?)", text)
    parts = [part for line in lines for part in re.split(r"(?<=[.!?;])\s+(?=[^\d])", line)]
    return [" ".join(part.split()) for part in parts if part.strip()]


def says_it_wins(sentence: str) -> bool:
    """Whether a sentence is about who is best, or about a tie."""
    return bool(_WINS.search(sentence))


def figures(sentence: str) -> list[Figure]:
    """The measured numbers of a sentence: percentages and decimals; whole numbers are seeds, epochs and years.

    >>> [figure.value for figure in figures("87.5 % after 12 epochs, a loss of 0.352")]
    [0.875, 0.352]
    """
    found = []
    for match in _FIGURE.finditer(sentence):
        number, percent = match.group(1), bool(match.group(2))
        decimals = len(number.partition(".")[2])
        if not decimals or (not percent and decimals < 2):
            continue
        scale = 100.0 if percent else 1.0
        value = float(number) / scale
        found.append(Figure(match.group(0).strip(), value, 0.5000001 * 10.0**-decimals / scale))
    return found


def recorded(evidence: Evidence) -> dict[str, list[float]]:
    """For each activation the figures that an analysis may quote: of every trial, and their means over the seeds."""
    found: dict[str, list[float]] = {}
    for name in evidence.activations:
        rows = []
        for trial in evidence.trials(name):
            ends = [trial.epochs[0], trial.epochs[-1], *trial.epochs[1:2]]
            row = [trial.test_accuracy, trial.test_loss, trial.learning_rate]
            row += [max((r.validation_accuracy for r in trial.epochs), default=0.0)]
            row += [min((r.validation_loss for r in trial.epochs), default=0.0)]
            for record in ends:
                row += [
                    record.train_loss,
                    record.train_accuracy,
                    record.validation_loss,
                    record.validation_accuracy,
                ]
                row += [*record.dead, *record.saturated, *record.gradient_norm]
                row += [_mean(record.dead), _mean(record.saturated), _ratio(record.gradient_norm)]
            rows.append(row)
        found[name] = [value for row in rows for value in row]
        if len({len(row) for row in rows}) == 1:
            found[name] += [_mean(column) for column in zip(*rows, strict=True)]
    return found


def _ratio(norms: tuple[float, ...]) -> float:
    return norms[0] / norms[-1] if norms and norms[-1] else 0.0


def _mean(values: Iterable[float]) -> float:
    column = list(values)
    return sum(column) / len(column) if column else 0.0


def _loosely(name: str) -> str:
    # "Leaky ReLU", "leaky-relu" and "LeakyReLU" are all leaky_relu.
    return r"[\s_-]?".join(re.escape(part) for part in re.split(r"[\s_-]+", name.lower()) if part)
