"""An activation as data: one formula and what is known about it; calling it computes.

There are three kinds. An *elementwise* activation has one input ``z``; a *gated* one has two, ``z`` and ``u``, of
one shape; a *normalising* one works along an axis (:mod:`triode.normalising`). The formula is declared once;
derivatives, kernels, framework modules, plots and tables are read from it.
"""

from __future__ import annotations

import copyreg
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from triode import calculus
from triode.errors import MissingExtra, TriodeError, nearest
from triode.expr import Expr
from triode.interval import Interval
from triode.notation import to_latex
from triode.parse import parse

Kind = Literal["elementwise", "gated", "normalising"]

HIGHEST_ORDER = 8
"""Highest order of derivative that is computed; formulas grow with every order."""


@dataclass(frozen=True)
class Parameter:
    """A named number in a formula: its default, what it means, its bounds, and whether training may learn it.

    ``learnable`` says that it may be learned (a module does so when asked to); ``learned`` that learning it is what
    the function is for (PReLU), so that a module learns it unless told otherwise.
    """

    name: str
    default: float
    summary: str
    minimum: float = -math.inf
    maximum: float = math.inf
    learnable: bool = False
    exclusive_minimum: bool = False
    learned: bool = False

    @property
    def constraint(self) -> str:
        """The bounds in words, empty when there are none: ``"> 0"``, ``">= 0 and <= 1"``."""
        parts = []
        if self.minimum > -math.inf:
            parts.append(f"{'>' if self.exclusive_minimum else '>='} {self.minimum:g}")
        if self.maximum < math.inf:
            parts.append(f"<= {self.maximum:g}")
        return " and ".join(parts)

    def check(self, owner: str, value: object) -> float:
        """Return ``value`` as a float if it is a number within the bounds, else raise ``TriodeError``."""
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            given = f"{value!r} ({type(value).__name__})"
            raise TriodeError(f"{owner}: {self.name} must be a real number; {given:.200} was given")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        low = number > self.minimum if self.exclusive_minimum else number >= self.minimum
        if not (low and number <= self.maximum and math.isfinite(number)):
            expected = self.constraint or "finite"
            raise TriodeError(f"{owner}: {self.name} must be {expected}; {number:g} was given")
        return number


@dataclass(frozen=True)
class Kink:
    """A point where a derivative jumps: where, from which order on, and what the derivative is taken to be there."""

    at: str
    order: int = 1
    convention: str = ""


@dataclass(frozen=True)
class Reference:
    """Where a function comes from."""

    authors: str
    title: str
    year: int
    venue: str = ""
    arxiv: str = ""

    def __str__(self) -> str:
        """Return the reference as one line."""
        tail = f", arXiv:{self.arxiv}" if self.arxiv else ""
        venue = f", {self.venue}" if self.venue else ""
        return f"{self.authors}. {self.title}{venue}, {self.year}{tail}"


@dataclass(frozen=True)
class Sampled:
    """A parameter that training draws at random for every element, uniform between two others."""

    parameter: str
    low: str
    high: str
    formula: str


class Activation:
    r"""An activation function, declared by one formula.

    Args:
        name: The canonical name, an identifier.
        formula: The function, in the grammar of :mod:`triode.parse`, of the inputs and the parameters.
        title: The name as people write it; default the name.
        summary: One sentence.
        reference: Where it comes from.
        parameters: Named numbers with defaults and bounds.
        aliases: Other names that resolve to it.
        kinks: Where a derivative jumps, and the convention there.
        stable: Hand-written forms, by order of derivative, that hold their accuracy where the derived one
            cancels; a test proves each equal to the derived one.
        sampled: A parameter that training samples (RReLU).
        used_in, pros, cons, when_to_use: What a reader wants to know.
        inputs: ``("z",)`` for an elementwise function, ``("z", "u")`` for a gated pair.

    Examples:
        >>> import triode
        >>> triode.gelu(1.0)
        0.8413447460685429
        >>> triode.elu(-1.0, alpha=0.5)
        -0.31606027941427883
        >>> triode.relu.derivative(0.0)
        0.0
    """

    kind: Kind

    def __init__(
        self,
        name: str,
        formula: str,
        *,
        title: str = "",
        summary: str = "",
        reference: Reference | None = None,
        parameters: tuple[Parameter, ...] = (),
        aliases: tuple[str, ...] = (),
        kinks: tuple[Kink, ...] = (),
        stable: Mapping[int, str] | None = None,
        sampled: Sampled | None = None,
        used_in: str = "",
        pros: tuple[str, ...] = (),
        cons: tuple[str, ...] = (),
        when_to_use: str = "",
        inputs: tuple[str, ...] = ("z",),
    ) -> None:
        """Parse the formula and its stable forms."""
        self.name, self.title, self.summary, self.reference = name, title or name, summary, reference
        self.parameters, self.aliases, self.kinks, self.sampled = parameters, aliases, kinks, sampled
        self.used_in, self.pros, self.cons, self.when_to_use = used_in, pros, cons, when_to_use
        self.inputs = inputs
        self._read(formula, stable or {})
        # What a sampled activation computes while training: the same function with one more parameter.
        self.training_form: Activation | None = None
        if sampled is not None:
            drawn = Parameter(sampled.parameter, 0.0, "drawn at random")
            self.training_form = Activation(f"{name}_training", sampled.formula, parameters=(drawn,))

    def _read(self, formula: str, stable: Mapping[int, str]) -> None:
        names = (*self.inputs, *(parameter.name for parameter in self.parameters))
        self.kind = "elementwise" if len(self.inputs) == 1 else "gated"
        self.formula = parse(formula, names)
        self.stable: dict[int, Expr] = {order: parse(text, names) for order, text in stable.items()}
        self._partials: dict[tuple[str, ...], Expr] = {}

    def __repr__(self) -> str:
        """Return one useful line."""
        return f"<triode.{self.name}: {self.formula}>"

    def _repr_html_(self) -> str:
        """Return the formula and, where Matplotlib is installed, the curve, for a notebook."""
        from html import escape

        head = f"<p><b>{escape(self.title)}</b> &nbsp; $f(z) = {escape(self.latex())}$<br>{escape(self.summary)}</p>"
        try:
            from triode import plots

            return head + plots.svg(self)
        except MissingExtra:
            return head

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle as the text that rebuilds it; an object that the catalogue does not hold, by its parts."""
        from triode import catalogue

        if catalogue.holds(self):
            return catalogue.get, (catalogue.specification(self),)
        return copyreg.__newobj__, (type(self),), self.__dict__  # type: ignore[attr-defined]

    # --- the formula -----------------------------------------------------------------------------------------

    def expression(self, order: int = 0) -> Expr:
        """Return the formula of the ``order``-th derivative by ``z``, the stable form where one is declared.

        Args:
            order: 0 for the function itself.

        Returns:
            The expression that the kernels compile. An order without a form of its own is derived from the
            nearest lower stable form, or from the formula.

        Raises:
            TriodeError: For an order that is negative, no whole number, or above ``HIGHEST_ORDER``.
        """
        return self.partial(("z",) * self._check_order(order))

    def partial(self, variables: tuple[str, ...]) -> Expr:
        """Return the formula differentiated by each of ``variables`` (inputs or parameters) in turn."""
        found = self._partials.get(variables)
        if found is None:
            # By the inputs first: the stable forms are derivatives by z. Mixed partials commute away from kinks.
            ordered = tuple(sorted(variables, key=lambda name: name != "z"))
            if ordered and (ordered[-1] != "z" or len(ordered) not in self.stable):
                found = calculus.derivative(self.partial(ordered[:-1]), ordered[-1])
            else:
                found = self.stable.get(len(ordered), self.formula)
            self._partials[variables] = found
        return found

    def derived(self, order: int = 0) -> Expr:
        """Return the ``order``-th derivative by the rules alone, without stable forms; what those are tested by."""
        return calculus.derivative(self.formula, "z", order)

    def latex(self, order: int = 0) -> str:
        """Return the formula (as declared) or a derivative of it as LaTeX."""
        return to_latex(self.formula if order == 0 else self.expression(order))

    def defaults(self) -> dict[str, float]:
        """Return the parameters with their defaults."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def bounds(self) -> dict[str, Interval]:
        """Return an enclosure of each parameter, from its constraint."""
        return {
            parameter.name: Interval(parameter.minimum, parameter.maximum) for parameter in self.parameters
        }

    # --- checks ----------------------------------------------------------------------------------------------

    def _check_order(self, order: object) -> int:
        if (
            not isinstance(order, numbers.Integral)
            or isinstance(order, bool)
            or not 0 <= int(order) <= HIGHEST_ORDER
        ):
            raise TriodeError(
                f"{self.name}: the order must be a whole number from 0 to {HIGHEST_ORDER}, not {order!r}"
            )
        return int(order)

    def check_parameters(self, given: Mapping[str, object]) -> dict[str, float]:
        """Return every parameter's value, the given ones checked against their bounds."""
        values = self.defaults()
        for name, value in given.items():
            values[name] = self.parameter(name).check(self.name, value)
        return values

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by name, or raise ``TriodeError`` with the nearest right one."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        known = ", ".join(parameter.name for parameter in self.parameters) or "none"
        hint = nearest(name, [parameter.name for parameter in self.parameters])
        raise TriodeError(f"{self.name} has no parameter {name!r} (it has: {known}){hint}")

    # --- values ----------------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, out: Any = None, **parameters: Any) -> Any:
        r"""Return :math:`f(z)`, or :math:`f(z, u)` for a gated pair, element by element.

        Args:
            *inputs: A number, a list, a NumPy array of any shape, or a PyTorch tensor; one, or two for a gated
                pair, which broadcast. float16, bfloat16, float32 and float64 keep their type; integers and
                booleans become float64.
            out: An array of the result's shape and type to write into; may be the input itself.
            **parameters: By name; defaults as declared.

        Returns:
            The same kind as the input. nan gives nan; an infinity gives the limit, without a warning.

        Raises:
            TriodeError: For a complex, object or text array, an unknown or impossible parameter, an ``out`` of
                another shape or type.
        """
        from triode.kernels import dispatch

        return dispatch.evaluate(self, (), inputs, out, parameters)

    def derivative(
        self, *inputs: Any, order: int = 1, out: Any = None, wrt: str | None = None, **parameters: Any
    ) -> Any:
        r"""Return :math:`d^n f / dz^n` element by element; for a gated pair by default both first partials.

        Args:
            *inputs: As for the function itself; an elementwise function also takes the order here.
            order: 0 to 8; default 1.
            out: As for the function itself (one derivative only).
            wrt: The input or parameter to differentiate by; default ``z``, and for a gated pair each input.
            **parameters: By name.

        Returns:
            The same kind as the input; for a gated pair without ``wrt`` a tuple, one for each input.

        Examples:
            >>> import triode
            >>> triode.tanh.derivative(0.0), triode.tanh.derivative(0.5, order=2)
            (1.0, -0.7268619813835873)
        """
        from triode.kernels import dispatch

        if self.kind == "elementwise" and len(inputs) > 1:
            order, inputs = inputs[1], (inputs[0], *inputs[2:])
        order = self._check_order(order)
        if wrt is None and self.kind == "gated":
            if out is not None:
                raise TriodeError(
                    f"{self.name}: a gated pair has two derivatives; name one with wrt= to use out="
                )
            return tuple(
                dispatch.evaluate(self, (name,) * order, inputs, None, parameters) for name in self.inputs
            )
        if wrt is not None and wrt not in self.inputs:
            self.parameter(wrt)
        return dispatch.evaluate(self, (wrt or "z",) * order, inputs, out, parameters)
