"""Every activation by name: the curated families, their aliases, and what the user has defined."""

from __future__ import annotations

import re
import threading

from triode import functions
from triode.activation import Activation, Parameter
from triode.errors import TriodeError, nearest
from triode.expr import PRIMITIVES

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_RESERVED = frozenset(
    {"z", "u", "pi", "where", "out", "order", "wrt", "gradient", "learn", "channels", "dim", "self"}
)
_TAKEN = frozenset(
    {"torch", "analysis", "bakeoff", "plots", "names", "get", "define", "parse", "activations"}
)
"""Names at the top of the package, which ``triode.<name>`` would not reach."""


class UnknownActivation(TriodeError):
    """A name that no activation has; the sentence suggests the nearest."""


def _collect() -> tuple[dict[str, Activation], dict[str, str]]:
    found: dict[str, Activation] = {}
    aliases: dict[str, str] = {}
    for family in functions.FAMILIES:
        for attribute, value in vars(family).items():
            if not isinstance(value, Activation):
                continue
            if attribute != value.name:
                raise TypeError(
                    f"{family.__name__}.{attribute} declares the name {value.name!r}; they must agree"
                )
            for name in (value.name, *value.aliases):
                if name in found or name in aliases:
                    raise TypeError(f"{family.__name__}: the name {name!r} is declared twice")
                if name == value.name:
                    found[name] = value
                else:
                    aliases[name] = value.name
    return found, aliases


_curated, _aliases = _collect()
_defined: dict[str, Activation] = {}
_lock = threading.Lock()


def names() -> tuple[str, ...]:
    """Return the canonical names: the curated ones in order of family, then the user's own.

    Examples:
        >>> "gelu" in names()
        True
    """
    return (*_curated, *_defined)


def activations() -> tuple[Activation, ...]:
    """Return every activation, in the order of :func:`names`."""
    return (*_curated.values(), *_defined.values())


def is_curated(name: str) -> bool:
    """Say whether a name or alias belongs to the catalogue, not to the user."""
    return name in _curated or name in _aliases


def get(name: str) -> Activation:
    """Return an activation by name, alias, or ``name=formula``.

    Args:
        name: ``"gelu"``, ``"silu"`` (an alias), or ``"tanhexp=z * tanh(exp(z))"``, which defines it first.

    Returns:
        The activation.

    Raises:
        UnknownActivation: With the nearest right name.

    Examples:
        >>> get("silu").name
        'swish'
        >>> get("gleu")
        Traceback (most recent call last):
        ...
        triode.catalogue.UnknownActivation: no activation is called 'gleu'; did you mean 'gelu'? (see 'triode list')
    """
    if not isinstance(name, str):
        raise UnknownActivation(f"an activation is named by text such as 'gelu'; {name!r:.100} was given")
    own, equals, formula = name.partition("=")
    if equals:
        return define(own.strip(), formula.strip())
    key = name.strip().lower()
    found = _defined.get(name.strip()) or _curated.get(_aliases.get(key, key))
    if found is None:
        hint = nearest(name, [*_curated, *_aliases, *_defined])
        raise UnknownActivation(f"no activation is called {name[:60]!r}{hint} (see 'triode list')")
    return found


def holds(activation: Activation) -> bool:
    """Say whether this very object is in the catalogue, so that its specification rebuilds it."""
    return activation in (_curated.get(activation.name), _defined.get(activation.name))


def specification(activation: Activation) -> str:
    """Return the text from which :func:`get` rebuilds the activation in another process.

    Examples:
        >>> specification(get("gelu"))
        'gelu'
    """
    if _curated.get(activation.name) is activation:
        return activation.name
    return f"{activation.name}={_with_defaults(activation)}"


def _with_defaults(activation: Activation) -> str:
    defaults = "".join(f"; {p.name}={p.default!r}" for p in activation.parameters)
    return f"{activation.formula}{defaults}"


def define(name: str, formula: str, /, **parameters: float) -> Activation:
    """Define an activation by formula; it then has value, derivatives, kernel, module, plot and place in a bake-off.

    Args:
        name: An identifier that the catalogue does not use.
        formula: In the grammar of :mod:`triode.parse`, of ``z`` and the parameters. Defaults of parameters may
            also follow in the text: ``"z * sigmoid(b * z); b=1.5"``.
        **parameters: Named numbers with their defaults; each may be learned in training.

    Returns:
        The activation, also at ``triode.get(name)`` and ``triode.<name>``.

    Raises:
        TriodeError: For a name that is taken by another formula, or is no identifier.
        FormulaError: For a formula that the grammar refuses.

    Examples:
        >>> tanhexp = define("tanhexp", "z * tanh(exp(z))")
        >>> tanhexp(1.0)
        0.9913289158005997
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise TriodeError(
            f"{name!r:.80} cannot name an activation; letters, digits and _ were expected, a letter first"
        )
    formula, *assignments = formula.split(";") if isinstance(formula, str) else [formula]
    values: dict[str, object] = dict(parameters)
    for assignment in assignments:
        key, _, number = (part.strip() for part in assignment.partition("="))
        if key in values:
            raise TriodeError(f"{name}: the parameter {key[:40]!r} is given twice")
        try:
            values[key] = float(number)
        except ValueError:
            expected = "after ';' a default such as 'beta=1.5' was expected"
            raise TriodeError(f"{name}: {expected}, not {assignment[:40]!r}") from None
    declared = []
    for key, value in values.items():
        if not _NAME.match(key) or key in PRIMITIVES or key in _RESERVED:
            raise TriodeError(f"{name}: {key!r:.40} cannot name a parameter; it is reserved or no identifier")
        default = Parameter(key, 0.0, "").check(name, value)
        declared.append(Parameter(key, default, "defined by the user", learnable=True))
    made = Activation(name, formula, parameters=tuple(declared))
    with _lock:
        if name in _TAKEN:
            raise TriodeError(f"triode.{name} is part of the package; choose another name")
        if is_curated(name.lower()):
            taken = get(name.lower())
            raise TriodeError(f"{name!r} names a curated activation ({taken.formula}); choose another name")
        known = _defined.get(name)
        if known is not None:
            if specification(known) == specification(made):
                return known
            raise TriodeError(f"{name!r} is already defined as {_with_defaults(known)}; choose another name")
        _defined[name] = made
    return made
