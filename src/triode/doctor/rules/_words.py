"""How rules write numbers and names, so that two findings about the same thing say it in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percent(share: float) -> str:
    """`0.4821` as `48%`; small and nearly whole shares keep a digit, so that 99.8% does not read as all.

    Examples:
        >>> percent(0.4821), percent(0.998), percent(1.0)
        ('48%', '99.8%', '100%')
    """
    near_an_end = 0.0 < share < 0.095 or 0.99 <= share < 1.0
    return f"{100 * share:.1f}%" if near_an_end else f"{100 * share:.0f}%"


def about(number: float) -> str:
    """A number to the precision that a rough measurement deserves: two figures, powers of ten beyond four digits.

    Examples:
        >>> about(41.7), about(0.00231), about(3.2e-09), about(1.0), about(float("inf"))
        ('42', '0.0023', '3.2e-09', '1', 'infinity')
    """
    if math.isnan(number):
        return "not a number"
    if math.isinf(number):
        return "infinity" if number > 0 else "minus infinity"
    if number != 0.0 and not 1e-3 <= abs(number) < 9950:
        return f"{number:.1e}"
    rounded = float(f"{number:.2g}")
    return f"{rounded:.0f}" if abs(rounded) >= 10 or rounded == int(rounded) else f"{rounded:g}"


def names(items: Sequence[str], most: int = 4) -> str:
    """Names of layers or sites joined as in a sentence, the rest counted.

    Examples:
        >>> names(["fc1", "fc2"]), names(list("abcdefg"), most=3)
        ('fc1 and fc2', 'a, b, c and 4 more')
    """
    items = [called(item) for item in items]
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def called(name: str) -> str:
    """How a layer or a site is called in a sentence: the number that `nn.Sequential` gives it is no name.

    Examples:
        >>> called("fc1"), called("0"), called("layers.3"), called("0.relu"), called("")
        ('fc1', 'layer 0', 'layers.3', "'0.relu'", 'the layer')
    """
    if name.isdigit():
        return f"layer {name}"
    return repr(name) if name[:1].isdigit() else name or "the layer"


def plural(number: int, noun: str, many: str = "") -> str:
    """`1 unit`, `3 units`.

    Examples:
        >>> plural(1, "unit"), plural(3, "unit"), plural(2, "loss", "losses")
        ('1 unit', '3 units', '2 losses')
    """
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
