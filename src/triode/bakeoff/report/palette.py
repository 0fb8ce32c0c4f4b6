"""A colour, a dash and a point shape for every activation, the same in every report and chart.

Eight slots. The colours of a theme are at least 0.07 apart in OKLab for normal sight and for simulated
protanopia, deuteranopia and tritanopia (Machado, Oliveira and Fernandes, 2009), and stand out from the page at 3:1 or
more; a test measures both. Seven lines are still many, so dash, shape and a written label say the same again.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

LIGHT = ("#7a5cc4", "#0b7a55", "#1c3f94", "#3d97e6", "#a08a00", "#9c3300", "#e0629b", "#6b2148")
DARK = ("#9a86f5", "#3fbf7f", "#4f74e4", "#9fd6ff", "#e6dc6a", "#e4682a", "#f2a3cb", "#b45a94")
DASHES = ((1, 0), (7, 3), (1, 0), (7, 3), (2, 2), (1, 0), (9, 3, 2, 3), (4, 2))
"""Pen down, pen up, in pixels; (1, 0) is a solid line."""
SHAPES = (
    "diamond", "triangle-up", "circle", "triangle-right", "triangle-down", "square", "cross", "triangle-left",
)  # fmt: skip
SHAPE_PATHS = {
    "circle": "M5,0A5,5,0,1,1,-5,0A5,5,0,1,1,5,0Z",
    "square": "M-4.4,-4.4H4.4V4.4H-4.4Z",
    "diamond": "M0,-5.8L5,0L0,5.8L-5,0Z",
    "cross": "M-1.8,-5H1.8V-1.8H5V1.8H1.8V5H-1.8V1.8H-5V-1.8H-1.8Z",
    "triangle-up": "M0,-5L5.2,4.2H-5.2Z",
    "triangle-down": "M0,5L5.2,-4.2H-5.2Z",
    "triangle-right": "M5,0L-4.2,5.2V-5.2Z",
    "triangle-left": "M-5,0L4.2,5.2V-5.2Z",
}
"""SVG outlines in a box of 12 by 12 around the origin, for the legend."""

HEAT = (
    "#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
)  # fmt: skip
"""A scale from little to much, even in lightness for every sight: viridis (S. van der Walt and N. Smith, 2015)."""

THEMES = {
    "light": {
        "page": "#faf8f4", "card": "#ffffff", "ink": "#1e2227", "muted": "#5b646e", "line": "#e2ded5",
        "grid": "#eeebe4",
        "accent": "#a8480a", "soft": "#f5ede2", "warn": "#8a5a00", "warn-soft": "#fdf3dc",
        "good": "#1b6e3c", "bad": "#a3271f", "zero": "#b9b4aa",
    },
    "dark": {
        "page": "#121417", "card": "#1a1d22", "ink": "#e9e6e0", "muted": "#a0a8b2", "line": "#2e333a",
        "grid": "#282c32",
        "accent": "#ffb25e", "soft": "#29241d", "warn": "#f0c566", "warn-soft": "#2b2617",
        "good": "#7bd39a", "bad": "#ff9a8c", "zero": "#5b5f66",
    },
}  # fmt: skip
"""The colours of the page itself; each becomes a CSS variable of its name."""

# Relatives take neighbouring slots; others take the slot that their name hashes to, or the next free one.
PREFERRED = {
    "sigmoid": 0, "hard_sigmoid": 0, "log_sigmoid": 0, "tanh": 1, "hard_tanh": 1, "softsign": 1, "relu": 2, "relu6": 2,
    "leaky_relu": 3, "prelu": 3, "rrelu": 3, "elu": 4, "selu": 4, "celu": 4, "gelu": 5, "gelu_tanh": 5, "swish": 6,
    "hard_swish": 6, "mish": 7, "softplus": 7,
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How one activation is drawn."""

    slot: int
    light: str
    dark: str
    dash: tuple[int, ...]
    shape: str


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each of `names`; different ones as long as there are at most eight.

    >>> [styles(["relu", "gelu"])[name].shape for name in ("relu", "gelu")]
    ['circle', 'square']
    """
    taken: dict[int, int] = dict.fromkeys(range(len(LIGHT)), 0)
    chosen: dict[str, Style] = {}
    # Those with a slot of their own choose first, so that a stranger never moves them.
    for name in sorted(names, key=lambda name: name not in PREFERRED):
        wanted = PREFERRED.get(name, zlib.crc32(name.encode()) % len(LIGHT))
        order = [(wanted + step) % len(LIGHT) for step in range(len(LIGHT))]
        slot = min(order, key=lambda slot: (taken[slot], order.index(slot)))
        rounds = taken[slot]  # beyond eight, colours return with another dash and another shape
        taken[slot] += 1
        chosen[name] = Style(
            slot, LIGHT[slot], DARK[slot], DASHES[(slot + rounds) % 8], SHAPES[(slot + 3 * rounds) % 8]
        )
    return {name: chosen[name] for name in names}
