"""How a report writes names, lists, and the values of whatever the bake-off is judged by.

A sentence marks the names in it with the control characters OPEN and CLOSE, so that a page can set them apart however
it likes, and a name needs no quoting rule of its own; `plain` takes the marks away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from triode.bakeoff.records import Measure

OPEN, CLOSE = "\x02", "\x03"
DOTS = "\u2009–\u2009"
"""Between the ends of an interval: an en dash in thin spaces."""
WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def plain(sentence: str) -> str:
    """The sentence without the marks around names."""
    return sentence.replace(OPEN, "").replace(CLOSE, "")


def named(name: str) -> str:
    """A name, marked; without control characters, which could be marks."""
    clean = "".join(character for character in name if character.isprintable())
    return f"{OPEN}{clean}{CLOSE}"


def all_named(names: Iterable[str]) -> str:
    """Marked names as a list."""
    return listed([named(name) for name in names])


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def number(n: int) -> str:
    """A small number as a word.

    >>> number(3), number(30)
    ('three', '30')
    """
    return WORDS[n] if 0 <= n < len(WORDS) else f"{n:,}"


def counted(n: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage; a dash for what is not a number."""
    return f"{100 * share:.{digits}f}%" if math.isfinite(share) else "–"


def value(measure: Measure, figure: float, digits: int = 2) -> str:
    """A value of the measure: a percentage with `digits` decimals, or a loss with four digits that count."""
    if not math.isfinite(figure):
        return "–"
    return percent(figure, digits) if measure.percent else f"{figure:#.4g}".rstrip(".")


def interval(measure: Measure, low: float, high: float) -> str:
    """The ends of an interval, the unit left to the value beside it; a dash where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    if measure.percent:
        return f"{100 * low:.1f}{DOTS}{100 * high:.1f}"
    return f"{low:#.4g}{DOTS}{high:#.4g}"


def scaled(measure: Measure) -> float:
    """What differences are multiplied by: percentage points for shares, and losses as they are."""
    return 100.0 if measure.percent else 1.0


def gap(measure: Measure, difference: float) -> str:
    """The size of a difference: `1.2 points` (0.012 of a share; below one point two decimals), or `0.0123`."""
    size = abs(difference)
    if not math.isfinite(size):
        return "–"
    if not measure.percent:
        return f"{size:.3g}"
    return f"{100 * size:.2f} points" if 100 * size < 1 else f"{100 * size:.1f} points"


def gaps(measure: Measure, differences: Iterable[float]) -> str:
    """The range of several differences: `0.5 to 1.2 points`."""
    sizes = sorted(abs(d) for d in differences)
    if not sizes or gap(measure, sizes[0]) == gap(measure, sizes[-1]):
        return gap(measure, sizes[0]) if sizes else "–"
    return f"{gap(measure, sizes[0]).removesuffix(' points')} to {gap(measure, sizes[-1])}"


def gap_unit(measure: Measure) -> str:
    """The unit of differences, for an axis."""
    return "percentage points" if measure.percent else measure.unit or "difference"


def rate(learning_rate: float) -> str:
    """A learning rate as people write it.

    >>> rate(3e-4), rate(0.05)
    ('0.0003', '0.05')
    """
    return f"{learning_rate:.3g}"


def megabytes(size: int) -> str:
    """A number of bytes as mebibytes or gibibytes."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def at_most(p_value: float) -> str:
    """A p-value, rounded up so that it never claims too much."""
    return "< 0.001" if p_value < 0.001 else f"≤ {math.ceil(p_value * 1000) / 1000:.3f}"
