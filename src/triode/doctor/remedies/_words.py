"""Words that remedies share."""

from __future__ import annotations

from triode.doctor.diagnosis import Prescription
from triode.doctor.history import History

TITLES = {
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "prelu": "PReLU",
    "gelu": "GELU",
    "swish": "Swish",
    "silu": "SiLU",
    "elu": "ELU",
    "selu": "SELU",
    "tanh": "tanh",
}


def number(value: float) -> str:
    """A number as one writes it: 0.001, 40, 1e-05.

    >>> number(0.1 / 40), number(10.0)
    ('0.0025', '10')
    """
    return f"{float(value):.3g}"


def title(function: str) -> str:
    """An activation's name in prose."""
    return TITLES.get(function, function.replace("_", " "))


def listed(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    """`a, b and 3 more`.

    >>> listed(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d and 2 more'
    """
    shown = list(dict.fromkeys(names))
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {len(shown) - most} more"
    return " and ".join([*([", ".join(shown[:-1])] if len(shown) > 1 else []), *shown[-1:]])


def names_of(prescription: Prescription, key: str) -> tuple[str, ...]:
    """A parameter that is a name or several, as a tuple."""
    given = prescription.parameters.get(key) or ()
    return (given,) if isinstance(given, str) else tuple(str(each) for each in given)


def at_sites(prescription: Prescription, otherwise: str) -> str:
    """`at fc1.relu and fc2.relu`, or what holds where no site is named."""
    sites = names_of(prescription, "sites")
    return f"at {listed(sites)}" if sites else otherwise


def first_rate(history: History | None) -> float | None:
    """The learning rate of the first step, if it is known."""
    rates = [] if history is None else [rate for rate in history.rates if rate == rate and rate > 0]
    return rates[0] if rates else None


def plural(count: int, one: str) -> str:
    """`1 step`, `3 steps`."""
    return f"{count:,} {one}" + ("" if count == 1 else "s")
