"""How each type lies in memory: loaded as float64, stored with one correct rounding.

float16 and bfloat16 are rounded from float64 in one step, not through a rounded float32 (which would round twice):
the float32 on the way is rounded *to odd*, which keeps the information that the final rounding needs (Boldo and
Melquiond, "When double rounding is odd", 2005).
"""

from __future__ import annotations

from llvmlite import ir

from triode.kernels.vector import DOUBLES, LANES, Vector

BYTES: dict[str, int] = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
"""The types a kernel reads and writes, with their size."""

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_HALVES = ir.VectorType(ir.HalfType(), LANES)
_INT16S = ir.VectorType(ir.IntType(16), LANES)
_INT32S = ir.VectorType(ir.IntType(32), LANES)


def _integers(value: int) -> ir.Constant:
    return ir.Constant(_INT32S, [ir.Constant(ir.IntType(32), value)] * LANES)


def load(builder: ir.IRBuilder, pointer: ir.Value, dtype: str) -> Vector:
    """Return ``LANES`` elements at ``pointer`` as float64; every conversion is exact."""
    if dtype == "float64":
        return Vector(builder, builder.load(pointer, typ=DOUBLES, align=8))
    if dtype == "float32":
        single = builder.load(pointer, typ=_FLOATS, align=4)
    elif dtype == "float16":
        single = builder.fpext(builder.load(pointer, typ=_HALVES, align=2), _FLOATS)
    else:
        wide = builder.zext(builder.load(pointer, typ=_INT16S, align=2), _INT32S)
        single = builder.bitcast(builder.shl(wide, _integers(16)), _FLOATS)
    return Vector(builder, builder.fpext(single, DOUBLES))


def _to_odd(builder: ir.IRBuilder, value: Vector) -> ir.Value:
    """Return the bits of value as float32, truncated, the last bit set when anything was lost."""
    nearest = builder.fptrunc(value.value, _FLOATS)
    back = Vector(builder, builder.fpext(nearest, DOUBLES))
    bits = builder.bitcast(nearest, _INT32S)
    too_far = builder.zext((back.abs() > value.abs()).value, _INT32S)
    inexact = builder.zext(((back < value) | (back > value)).value, _INT32S)
    return builder.or_(builder.sub(bits, too_far), inexact)


def store(builder: ir.IRBuilder, value: Vector, pointer: ir.Value, dtype: str) -> None:
    """Write ``LANES`` elements, rounded once, to nearest, ties to even."""
    if dtype == "float64":
        builder.store(value.value, pointer, align=8)
    elif dtype == "float32":
        builder.store(builder.fptrunc(value.value, _FLOATS), pointer, align=4)
    elif dtype == "float16":
        single = builder.bitcast(_to_odd(builder, value), _FLOATS)
        builder.store(builder.fptrunc(single, _HALVES), pointer, align=2)
    else:
        bits = _to_odd(builder, value)
        even = builder.and_(builder.lshr(bits, _integers(16)), _integers(1))
        rounded = builder.lshr(builder.add(builder.add(bits, _integers(0x7FFF)), even), _integers(16))
        # Adding the rounding bit could carry a nan into infinity; a nan keeps its sign and becomes quiet.
        quiet = builder.or_(builder.lshr(bits, _integers(16)), _integers(0x0040))
        chosen = builder.select(value.is_nan().value, quiet, rounded)
        builder.store(builder.trunc(chosen, _INT16S), pointer, align=2)
