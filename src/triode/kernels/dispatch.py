"""From a call to a kernel: what kind of thing was given, in which type it is computed, where the result goes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from triode.errors import TriodeError
from triode.expr import symbol
from triode.interval import Interval

if TYPE_CHECKING:
    from triode.activation import Activation

GRADIENT = "gradient"
_NATIVE = ("float16", "bfloat16", "float32", "float64")


def evaluate(
    activation: Activation,
    variables: tuple[str, ...],
    inputs: tuple[Any, ...],
    out: Any,
    parameters: Mapping[str, Any],
) -> Any:
    """Return a partial derivative of an activation (the function itself for no variables) at the inputs.

    Args:
        activation: An elementwise or gated activation.
        variables: What to differentiate by, in turn.
        inputs: As many as the activation has; they broadcast.
        out: Where to write, or ``None``.
        parameters: Values by name.

    Returns:
        The caller's kind: float for a Python number, a NumPy scalar for one, an array, a tensor.
    """
    if len(inputs) != len(activation.inputs):
        expected = "one input" if len(activation.inputs) == 1 else "two inputs, z and u"
        raise TriodeError(
            f"{activation.name} takes {expected}; {len(inputs)} were given (parameters go by keyword)"
        )
    # A tensor can only exist when torch is already imported; looking never imports it.
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(x, torch.Tensor) for x in inputs):
        from triode.adapters import torch as adapter

        return adapter.evaluate(activation, variables, inputs, out, parameters)
    values = activation.check_parameters(parameters)
    arrays = [as_float_array(activation.name, x) for x in inputs]
    if len(arrays) > 1:
        arrays = _together(activation.name, arrays)
    result = _compute(activation, variables, arrays, values, out)
    if out is not None:
        return out
    if all(isinstance(x, (int, float)) for x in inputs):
        return float(result)
    return result[()] if all(isinstance(x, np.generic) for x in inputs) else result


def as_float_array(name: str, x: Any) -> npt.NDArray[Any]:
    """Return ``x`` as an array of one of the four float types, in this machine's byte order.

    Integers and booleans become float64.

    Raises:
        TriodeError: For complex, object, text, extended-precision and other arrays.
    """
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TriodeError(f"{name}: the input cannot be read as an array of numbers ({error})") from None
    dtype = array.dtype
    if dtype.name in _NATIVE:
        return array if dtype.isnative else array.astype(dtype.newbyteorder("="))
    if dtype.kind in "iub":
        return array.astype(np.float64)
    if dtype.kind == "c":
        hint = "activations here are real functions; pass the real or imaginary part"
    elif dtype.kind == "O":
        hint = "a list of unequal rows or of non-numbers makes an object array"
    elif dtype.kind in "USmM":
        hint = "text and dates have to be converted to numbers first"
    else:
        hint = "convert it with .astype('float64') if that loses nothing you need"
    raise TriodeError(
        f"{name}: an array of {dtype.name} cannot be computed with, a real one was expected; {hint}"
    )


def _together(name: str, arrays: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    dtype = np.result_type(*arrays)
    try:
        return [np.broadcast_arrays(array.astype(dtype, copy=False), *arrays)[0] for array in arrays]
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise TriodeError(f"{name}: inputs of shapes {shapes} do not broadcast to one shape") from None


@functools.lru_cache(maxsize=4096)
def plan(
    activation: Activation, variables: tuple[str, ...], arrays: tuple[tuple[str, str], ...], result: str
) -> Any:
    """Return the compiled kernel and the names of its scalars for one way of calling an activation.

    Args:
        activation: The function.
        variables: What it is differentiated by.
        arrays: Name and type of each array argument.
        result: Type of the output.

    An array called ``GRADIENT`` multiplies the whole: a backward pass in one sweep, rounded once.
    """
    from triode.kernels import compile as compiler

    given = {name for name, _ in arrays}
    scalars = tuple(parameter.name for parameter in activation.parameters if parameter.name not in given)
    formula, bounds = activation.partial(variables), activation.bounds()
    if GRADIENT in given:
        # Bounded, so that an infinite gradient times a zero derivative stays nan: it tells of a divergence.
        formula, bounds[GRADIENT] = symbol(GRADIENT) * formula, Interval(-1e308, 1e308)
    signature = compiler.Signature(formula, arrays, scalars, result, activation.inputs, tuple(bounds.items()))
    return compiler.kernel(signature), scalars


def _compute(
    activation: Activation,
    variables: tuple[str, ...],
    arrays: list[npt.NDArray[Any]],
    values: Mapping[str, float],
    out: Any,
) -> npt.NDArray[Any]:
    first = arrays[0]
    name = first.dtype.name
    if out is not None:
        _check_out(activation.name, out, first)
    kernel, scalars = plan(activation, variables, tuple((symbol, name) for symbol in activation.inputs), name)
    arguments = np.array([values[symbol] for symbol in scalars], dtype=np.float64)
    layout = _shared_layout(arrays, out)
    if layout is not None and (out is None or not any(_overlap(out, array) for array in arrays)):
        target = np.empty_like(first) if out is None else out
        _run(kernel, target, arrays, arguments)
        return target
    contiguous = [np.ascontiguousarray(array).reshape(array.shape) for array in arrays]
    target = np.empty(first.shape, first.dtype)
    _run(kernel, target, contiguous, arguments)
    if out is not None:
        out[...] = target
    return target


def _run(
    kernel: Callable[..., None],
    target: npt.NDArray[Any],
    arrays: list[npt.NDArray[Any]],
    scalars: npt.NDArray[Any],
) -> None:
    kernel(target.size, target.ctypes.data, *(array.ctypes.data for array in arrays), scalars.ctypes.data)


def _shared_layout(arrays: list[npt.NDArray[Any]], out: npt.NDArray[Any] | None) -> str | None:
    """Return the memory order that all arrays share without gaps, or ``None``."""
    every = arrays if out is None else [*arrays, out]
    if not all(array.flags.aligned for array in every):
        return None
    for order, flag in (("C", "c_contiguous"), ("F", "f_contiguous")):
        if all(getattr(array.flags, flag) for array in every):
            return order
    return None


def _overlap(out: npt.NDArray[Any], array: npt.NDArray[Any]) -> bool:
    """Say whether out shares memory with an input other than element on element."""
    same = out.ctypes.data == array.ctypes.data and out.strides == array.strides
    return not same and np.may_share_memory(out, array)


def _check_out(name: str, out: Any, like: npt.NDArray[Any]) -> None:
    if not isinstance(out, np.ndarray):
        raise TriodeError(f"{name}: out= must be a NumPy array; {type(out).__name__} was given")
    if out.shape != like.shape or out.dtype != like.dtype:
        given, wanted = f"{out.dtype.name}{list(out.shape)}", f"{like.dtype.name}{list(like.shape)}"
        raise TriodeError(f"{name}: out= is {given}, the result is {wanted}; they must agree")
    if not out.flags.writeable:
        raise TriodeError(f"{name}: out= cannot be written to (a read-only view or a broadcast)")


def deliver(name: str, result: npt.NDArray[np.float64], dtype: np.dtype[Any], out: Any) -> npt.NDArray[Any]:
    """Return a float64 result rounded once to ``dtype``, in ``out`` if given."""
    rounded = np.empty(result.shape, dtype)
    if dtype == np.float64:
        rounded[...] = result
    else:
        # The identity's own plan would read and write one type; rounding reads float64 and writes another.
        kernel = _rounding(dtype.name)
        source = np.ascontiguousarray(result).reshape(result.shape)
        kernel(source.size, rounded.ctypes.data, source.ctypes.data, 0)
    if out is None:
        return rounded
    _check_out(name, out, rounded)
    out[...] = rounded
    return out if isinstance(out, np.ndarray) else rounded


@functools.cache
def _rounding(dtype: str) -> Callable[..., None]:
    from triode.kernels import compile as compiler

    return compiler.kernel(compiler.Signature(symbol("z"), (("z", "float64"),), (), dtype, ("z",)))
