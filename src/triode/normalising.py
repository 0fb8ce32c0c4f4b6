r"""Softmax and its logarithm: activations that work along an axis.

Everything is computed in float64 and rounded once to the type of the input. The largest entry m is subtracted
first; entries *equal* to the largest have difference 0 by definition, which makes every limit exact without a
special case further on: T -> 0 shares the mass among the largest, T -> inf is uniform, a row with +inf shares it
among the infinities, and a row that is -inf throughout is uniform.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from triode.activation import Activation, Parameter, Reference
from triode.errors import TriodeError
from triode.expr import Expr, symbol

Array = npt.NDArray[np.float64]

TEMPERATURE = Parameter("temperature", 1.0, "divides the inputs: small sharpens, large flattens", minimum=0.0)


class Normalising(Activation):
    """An activation along an axis: ``softmax`` or, with ``logarithm``, ``log_softmax``."""

    def __init__(
        self,
        name: str,
        formula: str,
        *,
        logarithm: bool,
        title: str,
        summary: str,
        reference: Reference,
        aliases: tuple[str, ...] = (),
        used_in: str = "",
        pros: tuple[str, ...] = (),
        cons: tuple[str, ...] = (),
        when_to_use: str = "",
    ) -> None:
        """Keep the formula as text: a sum over an axis is not elementwise."""
        self.text = formula
        self.logarithm = logarithm
        super().__init__(
            name,
            "z",
            title=title,
            summary=summary,
            reference=reference,
            parameters=(TEMPERATURE,),
            aliases=aliases,
            used_in=used_in,
            pros=pros,
            cons=cons,
            when_to_use=when_to_use,
        )
        self.kind = "normalising"

    def _read(self, formula: str, stable: Mapping[int, str]) -> None:
        super()._read(formula, stable)
        # The expression is only a stand-in for the input; nobody may take it for the function.
        self.formula = symbol("z")

    def __repr__(self) -> str:
        """Return one useful line."""
        return f"<triode.{self.name}: {self.text}>"

    def partial(self, variables: tuple[str, ...]) -> Expr:
        """Refuse: the derivative of a vector function is a matrix."""
        raise TriodeError(
            f"{self.name} works along an axis; use {self.name}.jacobian(x) or {self.name}.vjp(x, gradient)"
        )

    def derived(self, order: int = 0) -> Expr:
        """Refuse: the derivative of a vector function is a matrix."""
        return self.partial(("z",) * order)

    def latex(self, order: int = 0) -> str:
        """Return the function as LaTeX, or its Jacobian for order 1."""
        ratio = r"\frac{e^{z_i / T}}{\sum_j e^{z_j / T}}"
        if order == 0:
            return rf"\ln {ratio}" if self.logarithm else ratio
        inner = r"\delta_{ij} - s_j" if self.logarithm else r"s_i (\delta_{ij} - s_j)"
        return rf"\tfrac{{1}}{{T}} \left({inner}\right)"

    def check_temperature(self, temperature: object) -> float:
        """Return the temperature as a float: 0 or more, infinity included."""
        if not isinstance(temperature, numbers.Real) or not float(temperature) >= 0:
            raise TriodeError(
                f"{self.name}: temperature must be a number >= 0; {temperature!r:.60} was given"
            )
        return abs(float(temperature))

    def __call__(
        self, *inputs: Any, out: Any = None, axis: int = -1, temperature: float = 1.0, **parameters: Any
    ) -> Any:
        r"""Return :math:`e^{z_i/T} / \sum_j e^{z_j/T}` (or its logarithm) along ``axis``.

        Args:
            *inputs: One array of at least one dimension, or a PyTorch tensor.
            axis: The axis that sums to one; default the last.
            temperature: T >= 0; 0 and infinity give the exact limits. Default 1.
            out: An array of the result's shape and type to write into.
            **parameters: None; any other name is refused.

        Returns:
            An array of the input's shape and kind; a row that holds nan is nan throughout.

        Raises:
            TriodeError: For a scalar, an axis that is not there, a negative temperature.
        """
        self.check_parameters(parameters)
        if len(inputs) != 1:
            raise TriodeError(f"{self.name} takes one input; {len(inputs)} were given (axis goes by keyword)")
        temperature = self.check_temperature(temperature)
        if _is_tensor(inputs[0]):
            from triode.adapters import torch_softmax as adapter

            return adapter.normalise(self, inputs[0], axis, temperature, out)
        x, dtype, position = self._rows(inputs[0], axis)
        result = np.moveaxis(self._values(x, temperature), -1, position)
        return _deliver(self.name, result, dtype, out)

    def derivative(self, *inputs: Any, **options: Any) -> Any:
        """Refuse: the derivative of a vector function is a matrix (see ``jacobian`` and ``vjp``)."""
        self.partial(("z",))

    def jacobian(self, x: Any, axis: int = -1, temperature: float = 1.0) -> Any:
        r"""Return :math:`\partial s_i / \partial z_j = s_i(\delta_{ij} - s_j)/T` for every row.

        Args:
            x: An array of shape (..., K, ...), with K along ``axis``.
            axis: The axis of the classes; default the last.
            temperature: T > 0; at 0 the function jumps at ties and the derivative elsewhere is 0.

        Returns:
            An array of shape (..., K, K): the other axes in order, then i, then j. :math:`1 - s_i` is summed from
            the other entries where :math:`s_i` is the largest, so that it does not cancel.
        """
        temperature = self.check_temperature(temperature)
        if _is_tensor(x):
            from triode.adapters import torch_softmax as adapter

            return adapter.through_arrays(lambda array: self.jacobian(array, axis, temperature), x)
        rows, dtype, _ = self._rows(x, axis)
        s = _softmax(rows, temperature)
        matrix = -np.broadcast_to(s[..., None, :], (*s.shape, s.shape[-1])).copy()
        index = np.arange(s.shape[-1])
        matrix[..., index, index] = _complement(s, rows)
        if not self.logarithm:
            matrix *= s[..., :, None]
        return _deliver(self.name, _over(matrix, temperature), dtype, None)

    def vjp(self, x: Any, gradient: Any, axis: int = -1, temperature: float = 1.0) -> Any:
        r"""Return the vector-Jacobian product :math:`s_i (g_i - \sum_j g_j s_j)/T` without the Jacobian.

        Args:
            x: The input of the function, K classes along ``axis``.
            gradient: The gradient by the output, of the same shape.
            axis: The axis of the classes; default the last.
            temperature: T >= 0.

        Returns:
            The gradient by the input. The gradient is taken relative to its value at the largest entry, which
            changes nothing in exact arithmetic and keeps a nearly one-hot row from cancelling.
        """
        temperature = self.check_temperature(temperature)
        if _is_tensor(x):
            from triode.adapters import torch_softmax as adapter

            return adapter.through_arrays(lambda a, b: self.vjp(a, b, axis, temperature), x, gradient)
        rows, dtype, position = self._rows(x, axis)
        g, _, _ = self._rows(gradient, axis)
        if g.shape != rows.shape:
            raise TriodeError(
                f"{self.name}: gradient has shape {np.shape(gradient)}, the input {np.shape(x)}; they must agree"
            )
        s = _softmax(rows, temperature)
        if self.logarithm:
            result = g - s * np.sum(g, axis=-1, keepdims=True)
        else:
            top = np.take_along_axis(g, np.argmax(rows, axis=-1)[..., None], axis=-1)
            relative = g - top
            result = s * (relative - np.sum(relative * s, axis=-1, keepdims=True))
        return _deliver(self.name, np.moveaxis(_over(result, temperature), -1, position), dtype, None)

    def _rows(self, x: Any, axis: int) -> tuple[Array, np.dtype[Any], int]:
        from triode.kernels import dispatch

        array = dispatch.as_float_array(self.name, x)
        if array.ndim == 0 or not -array.ndim <= axis < array.ndim:
            raise TriodeError(
                f"{self.name}: axis {axis} is not there in an array of shape {array.shape}; it needs a vector"
            )
        if array.shape[axis] == 0:
            raise TriodeError(
                f"{self.name}: axis {axis} has no entries (shape {array.shape}); at least one was expected"
            )
        return np.moveaxis(array.astype(np.float64), axis, -1), array.dtype, axis

    def _values(self, rows: Array, temperature: float) -> Array:
        if not self.logarithm:
            return _softmax(rows, temperature)
        scaled = _scaled(rows, temperature)
        # ln sum = ln(1 + the others): exact where one entry dominates and the result is nearly 0.
        e = _exp(scaled)
        np.put_along_axis(e, np.argmax(rows, axis=-1)[..., None], 0.0, axis=-1)
        return np.asarray(scaled - np.log1p(np.sum(e, axis=-1, keepdims=True)))


def _is_tensor(x: Any) -> bool:
    # A tensor can only exist when torch is already imported; looking never imports it.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _scaled(rows: Array, temperature: float) -> Array:
    """Return (z - max z) / T, 0 for every entry equal to the largest, nan where the row holds one."""
    with np.errstate(all="ignore"):
        largest = np.max(rows, axis=-1, keepdims=True)
        scaled = np.asarray((rows - largest) / temperature)
    scaled[rows == largest] = 0.0
    if temperature == math.inf:
        scaled[~np.isnan(scaled) | (rows < largest)] = 0.0
    np.copyto(scaled, np.nan, where=np.isnan(largest))
    return scaled


def _exp(x: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.exp(x)


def _softmax(rows: Array, temperature: float) -> Array:
    e = _exp(_scaled(rows, temperature))
    return np.asarray(e / np.sum(e, axis=-1, keepdims=True))


def _complement(s: Array, rows: Array) -> Array:
    """Return 1 - s, for the largest entry as the sum of the others."""
    result = 1.0 - s
    top = np.argmax(rows, axis=-1)[..., None]
    others = s.copy()
    np.put_along_axis(others, top, 0.0, axis=-1)
    np.put_along_axis(result, top, np.sum(others, axis=-1, keepdims=True), axis=-1)
    return np.asarray(result)


def _over(matrix: Array, temperature: float) -> Array:
    with np.errstate(all="ignore"):
        result = np.asarray(matrix / temperature)
    result[matrix == 0.0] = 0.0
    return result


def _deliver(name: str, result: Array, dtype: np.dtype[Any], out: Any) -> Any:
    from triode.kernels import dispatch

    return dispatch.deliver(name, result, dtype, out)
