"""`triode eval`: values and derivatives of one activation at given points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from triode.cli._output import formula, number, parameters, print_json, table
from triode.errors import TriodeError

if TYPE_CHECKING:
    from triode.activation import Activation
    from triode.normalising import Normalising

Rows = list[dict[str, Any]]


def run(
    name: str,
    /,
    *x: float,
    order: int = 1,
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float64",
    param: tuple[str, ...] = (),
    u: tuple[float, ...] = (),
    json: bool = False,
) -> None:
    """Compute an activation and its derivatives at one or more points.

    Args:
        name: A name or alias from `triode list`, or your own formula as "name=formula".
        x: Points; nan, inf and -inf are numbers too. For softmax and log_softmax they are one vector.
        order: Highest derivative to show; 0 shows the value alone.
        dtype: Number format to compute in and to round the result to.
        param: A parameter as name=value; repeat for more.
        u: Second input of a gated activation: one for all points, or repeated once for each point.
        json: Print one JSON object.

    Examples:
        triode eval gelu -2 0 2 --order 2
        triode eval elu -1 --param alpha=0.5
        triode eval swiglu -1 2 --u 3
        triode eval softmax 2 1 0.1 --param temperature=10
        triode eval "tanhexp=z * tanh(exp(z))" 1 --dtype float32
    """
    import triode
    from triode.activation import HIGHEST_ORDER

    if not x:
        raise TriodeError("eval needs at least one point, such as: triode eval gelu -2 0 2.")
    if not 0 <= order <= HIGHEST_ORDER:
        raise TriodeError(f"--order {order} is not a whole number from 0 to {HIGHEST_ORDER}.")
    activation = triode.get(name)
    given = parameters(param)
    if activation.kind != "gated" and u:
        raise TriodeError(f"{activation.name} has one input; --u is for gated activations such as swiglu.")
    evaluate = {"gated": _gated, "normalising": _normalising}.get(activation.kind, _elementwise)
    rows = evaluate(activation, _points(x, dtype), _points(u, dtype), order, given)
    if json:
        data = {
            "activation": activation.name,
            "formula": formula(activation),
            "dtype": dtype,
            "parameters": {**activation.defaults(), **given},
            "points": [{key: _plain(value) for key, value in row.items()} for row in rows],
        }
        print_json(data)
        return
    headers = tuple(rows[0])
    table(headers, [[number(row[header]) for header in headers] for row in rows], right=range(len(headers)))


def _elementwise(activation: Activation, x: Any, u: Any, order: int, given: dict[str, Any]) -> Rows:
    columns = {"x": x, "value": activation(x, **given)}
    for k in range(1, order + 1):
        columns["derivative" if k == 1 else f"derivative {k}"] = activation.derivative(x, order=k, **given)
    return _rows(columns)


def _gated(activation: Activation, x: Any, u: Any, order: int, given: dict[str, Any]) -> Rows:
    import numpy as np

    if u.size not in (1, x.size):
        raise TriodeError(
            f"{activation.name} has two inputs: give --u once, or once for each of the {x.size} points; "
            f"it was given {u.size} times."
        )
    if order > 1:
        raise TriodeError(f"--order {order}: eval shows the first derivatives of gated activations at most.")
    gate = np.broadcast_to(u, x.shape)
    columns = {"z": x, "u": gate, "value": activation(x, gate, **given)}
    if order:
        columns["d/dz"], columns["d/du"] = activation.derivative(x, gate, **given)
    return _rows(columns)


def _normalising(activation: Activation, x: Any, u: Any, order: int, given: dict[str, Any]) -> Rows:
    if order > 1:
        raise TriodeError(f"--order {order}: eval shows the Jacobian of {activation.name} (order 1) at most.")
    columns = {"x": x, "value": activation(x, **given)}
    if order:
        jacobian = cast("Normalising", activation).jacobian(x, **given)
        columns |= {f"d/dx{k + 1}": jacobian[:, k] for k in range(x.size)}
    return _rows(columns)


def _points(values: tuple[float, ...], dtype: str) -> Any:
    import ml_dtypes
    import numpy as np

    with np.errstate(
        over="ignore"
    ):  # a point beyond the format's range becomes an infinity, and is shown as one
        return np.array(values, dtype=ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def _rows(columns: dict[str, Any]) -> Rows:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> float:
    # The shortest decimal that the number's own format reads back, not the float64 expansion of a float32.
    return float(str(value))
