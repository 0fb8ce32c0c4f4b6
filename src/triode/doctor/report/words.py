"""How the report writes names, numbers and shares."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triode.doctor.rules._words import percent as _percent

MISSING = "–"
"""Stands where nothing was measured."""


def clean(text: object, limit: int = 0) -> str:
    """Text on one line without control characters, which a terminal would obey; shortened in the middle to `limit`.

    >>> clean("encoder.blocks.11.mlp.fc1", 12)
    'encod…mlp.fc1'
    """
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    if not limit or len(line) <= limit + 1:
        return line
    # The end of a path tells more than its start.
    left = (limit - 1) * 2 // 5 + 1
    return f"{line[:left]}…{line[len(line) - (limit - left) :]}"


def number(value: float | None, digits: int = 2) -> str:
    """A number with `digits` significant digits, `nan` and `inf` by name; a dash for None.

    >>> [number(x) for x in (1.234e-8, 0.0, 12.3, 1234.0, math.nan, None)]
    ['1.2e-8', '0', '12', '1200', 'nan', '–']
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 < exponent < 5:
        rounded = float(f"{value:.{digits - 1}e}")
        return f"{rounded:.{max(0, digits - 1 - exponent)}f}"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def percent(share: float | None) -> str:
    """A share as a percentage, written as in the rules' sentences; a dash for nan and None.

    >>> [percent(x) for x in (0.482, 0.998, 1.0, 0.004, 0.0, 0.99999, None)]
    ['48%', '99.8%', '100%', '0.4%', '0%', '>99.9%', '–']
    """
    if share is None or not math.isfinite(share):
        return MISSING
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 < share < 1 else _percent(share)


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 step`, `2,000 steps`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def capital(text: str) -> str:
    """The same with a capital letter at its start, unless it starts with a name such as `fc1`."""
    first = text.split(" ")[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def sentence(text: str) -> str:
    """The same on one line, with a capital letter at its start and a full stop at its end.

    >>> sentence("the rate is too high"), sentence("fc1 is dead.")
    ('The rate is too high.', 'fc1 is dead.')
    """
    line = capital(clean(text))
    return line if not line or line[-1] in ".!?:" else f"{line}."


def sparkline(values: Sequence[float], width: int = 40, beside: Sequence[float] = ()) -> str:
    """A line of blocks, a height each; `×` for what is not finite. Lines that are shown `beside` share one scale.

    >>> sparkline([0.0, 1.0, 2.0, math.nan])
    '▁▅█×'
    """
    if not values:
        return ""
    size = max(1, math.ceil(len(values) / width))
    bins = [list(values[i : i + size]) for i in range(0, len(values), size)]
    heights = [sum(one) / len(one) for one in bins]
    finite = [height for height in (*heights, *beside) if math.isfinite(height)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    blocks = "▁▂▃▄▅▆▇█"

    def block(height: float) -> str:
        if not math.isfinite(height):
            return "×"
        return blocks[round(7 * (height - low) / (high - low))] if high > low else blocks[0]

    return "".join(map(block, heights))
