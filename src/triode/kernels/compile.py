"""Formula to machine code: one pass over arrays, through LLVM.

Every formula, curated or a user's own, goes the same road: the expression is written as vector arithmetic
(:mod:`triode.kernels.vector`, :mod:`triode.kernels.elementary`), optimised and compiled by LLVM in some tens of
milliseconds, and called by address, without Python's global lock. Everything is computed in float64 and rounded
once to the type of the output; an element's result cannot depend on its position, because the tail of an array
goes through the same vector code, in a buffer.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from llvmlite import binding, ir

from triode.expr import COMPARISONS, VANISH_SLOWLY, Expr, postorder, to_float
from triode.interval import Interval, enclosures, multiply
from triode.kernels.compensate import SLOPES, argument
from triode.kernels.elementary import DECAYING, PLAIN
from triode.kernels.storage import BYTES, load, store
from triode.kernels.vector import DOUBLE, DOUBLES, INT64, LANES, Mask, Vector, filled

if TYPE_CHECKING:
    from collections.abc import Callable

_INT32 = ir.IntType(32)
_POINTER = ir.PointerType()
_FAR = 1e150  # stands for infinity where a formula is 0 * inf or inf / inf there
_DECIDED = 1e100  # beyond this a value at _FAR counts as diverged, below its reciprocal as vanished


@dataclass(frozen=True)
class Signature:
    """What a kernel computes and on what: the key of the cache.

    Args:
        formula: The expression.
        arrays: Name and type of each symbol that is an array, in calling order.
        scalars: Names of the symbols that are one float64 for the whole call.
        result: Type of the output.
        inputs: Which symbols are inputs, whose nan must come out as nan; the others are parameters.
        bounds: Enclosures of the parameters, from their constraints.
    """

    formula: Expr
    arrays: tuple[tuple[str, str], ...]
    scalars: tuple[str, ...]
    result: str
    inputs: tuple[str, ...]
    bounds: tuple[tuple[str, Interval], ...] = ()


class Emitter:
    """Writes one formula as vector arithmetic; every distinct node once."""

    def __init__(
        self, values: Mapping[str, Vector], bounds: Mapping[str, Interval], compensate: bool = False
    ) -> None:
        """Start with the vectors that the symbols stand for; ``compensate`` the arguments of exponentials or not."""
        self.values = values
        self.compensate = compensate
        self.like = next(iter(values.values()))
        self.bounds = dict(bounds)
        self.done: dict[Expr, Vector] = {}
        self.masks: dict[Expr, Mask] = {}
        self.enclosed: dict[Expr, Interval] = {}

    def run(self, formula: Expr) -> Vector:
        """Return the vector of the formula's values."""
        self.enclosed = enclosures(formula, self.bounds)
        for node in postorder(formula):
            if node.op in COMPARISONS:
                a, b = (self.done[argument] for argument in node.args)
                self.masks[node] = {"lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[node.op]
            else:
                self.done[node] = self.emit(node)
        return self.done[formula]

    def emit(self, node: Expr) -> Vector:
        """Return the vector of one node whose arguments are done."""
        args = [self.done[argument] for argument in node.args if argument.op not in COMPARISONS]
        match node.op:
            case "constant":
                return filled(
                    self.like, to_float(node.value if isinstance(node.value, Fraction) else Fraction(0))
                )
            case "pi":
                return filled(self.like, math.pi)
            case "symbol":
                return self.values[str(node.value)]
            case "add":
                return args[0] + args[1]
            case "sub":
                return args[0] - args[1]
            case "mul" | "div" | "neg":
                return self.product(node)
            case "power":
                return _whole_power(args[0], int(node.value or 0))
            case "where":
                return self.masks[node.args[0]].select(args[0], args[1])
            case op if op in DECAYING:
                return self.decaying(node, None)
            case op:
                return PLAIN[op](*args)

    def product(self, node: Expr) -> Vector:
        """Return a product; a factor that decays takes all the others as its multiplier."""
        factors, divisors, negative = _flatten(node)
        decaying = next((factor for factor in reversed(factors) if factor.op in DECAYING), None)
        if decaying is None or (len(factors) == 1 and not divisors):
            return self.binary(node)
        rest = list(factors)
        rest.remove(decaying)
        times = self.chain(rest) if rest else filled(self.like, 1.0)
        for divisor in divisors:
            times = times / self.done[divisor]
        return self.decaying(decaying, -times if negative else times)

    def decaying(self, node: Expr, times: Vector | None) -> Vector:
        """Return a function that decays, times a factor; what rounding lost in its argument joins the factor."""
        function = DECAYING[node.op]
        pair = argument(node.args[0], self.values) if self.compensate and node.op in SLOPES else None
        if pair is None:
            return function(self.done[node.args[0]], times=times)
        high, low = pair
        correction = low * SLOPES[node.op](high)
        # Where the argument overflows, the low part is nan and the function is 0 or 1 anyway.
        factor = 1.0 + (correction.abs() < 1.0).select(correction, filled(high, 0.0))
        return function(high, times=factor if times is None else times * factor)

    def binary(self, node: Expr) -> Vector:
        """Return the product, quotient or negation of this node alone."""
        if node.op == "neg":
            return -self.done[node.args[0]]
        if node.op == "div":
            return self.done[node.args[0]] / self.done[node.args[1]]
        return self.chain(list(node.args))

    def chain(self, factors: list[Expr]) -> Vector:
        """Return the product of factors, an exact zero winning over an infinity."""
        result, reach, previous = self.done[factors[0]], self.enclosed[factors[0]], factors[0]
        for factor in factors[1:]:
            vector, interval = self.done[factor], self.enclosed[factor]
            plain = result * vector
            wins = (_may_vanish(previous, reach) and not interval.bounded) or (
                _may_vanish(factor, interval) and not reach.bounded
            )
            if wins and factor is not previous:
                zero = filled(self.like, 0.0).with_sign_of(result) * filled(self.like, 1.0).with_sign_of(
                    vector
                )
                plain = (result.equals(0.0) | vector.equals(0.0)).select(zero, plain)
            result, reach, previous = plain, multiply(reach, interval), factor
        return result


def _may_vanish(node: Expr, interval: Interval) -> bool:
    return 0.0 in interval and node.op not in VANISH_SLOWLY


def _flatten(node: Expr) -> tuple[list[Expr], list[Expr], bool]:
    """Return the factors, the divisors and the sign of a product."""
    factors: list[Expr] = []
    divisors: list[Expr] = []
    negative = False
    stack = [node]
    while stack:
        current = stack.pop()
        if current.op == "mul":
            stack.extend(reversed(current.args))
        elif current.op == "neg":
            negative = not negative
            stack.append(current.args[0])
        elif current.op == "div":
            divisors.append(current.args[1])
            stack.append(current.args[0])
        else:
            factors.append(current)
    return factors, divisors, negative


def _whole_power(base: Vector, exponent: int) -> Vector:
    result: Vector | None = None
    while exponent:
        if exponent & 1:
            result = base if result is None else result * base
        exponent >>= 1
        if exponent:
            base = base * base
    return filled(base, 1.0) if result is None else result


def _value(signature: Signature, values: dict[str, Vector], probe: tuple[float, ...]) -> Vector:
    inputs = [values[name] for name in signature.inputs if name in values]
    body = dict(values)
    for infinity in probe:
        for name in signature.inputs:
            body[name] = values[name].equals(infinity).select(math.copysign(_FAR, infinity), body[name])
    compensate = signature.result == "float64"
    result = Emitter(body, dict(signature.bounds), compensate).run(signature.formula)
    for infinity in probe:
        size = result.abs()
        limit = (
            (size > _DECIDED).select(math.inf, (size < 1 / _DECIDED).select(0.0, size)).with_sign_of(result)
        )
        for z in inputs:
            result = z.equals(infinity).select(limit, result)
    for z in inputs:
        result = z.is_nan().select(z, result)
    return result


def assemble(signature: Signature, probe: tuple[float, ...] = ()) -> ir.Module:
    """Return the kernel as an LLVM module: ``void kernel(n, out, arrays..., scalars)``.

    Args:
        signature: What to compute and on what.
        probe: The infinities at which the value is taken from a far point, because arithmetic at infinity itself
            gives nan.
    """
    module = ir.Module("triode")
    module.triple = binding.get_process_triple()
    arity = len(signature.arrays)
    kind = ir.FunctionType(ir.VoidType(), [INT64, *[_POINTER] * (arity + 2)])
    function = ir.Function(module, kind, "kernel")
    count, out, *pointers, scalars = function.args
    types = [signature.result, *(dtype for _, dtype in signature.arrays)]
    entry, loop, partial, body, last, done = (
        function.append_basic_block(name) for name in ("entry", "loop", "partial", "body", "last", "done")
    )
    builder = ir.IRBuilder(entry)
    buffers = [builder.alloca(DOUBLES) for _ in types]
    values: dict[str, Vector] = {}
    for index, name in enumerate(signature.scalars):
        address = builder.gep(scalars, [ir.Constant(_INT32, index)], source_etype=DOUBLE)
        scalar = builder.load(address, typ=DOUBLE)
        one = builder.insert_element(ir.Constant(DOUBLES, ir.Undefined), scalar, ir.Constant(_INT32, 0))
        lanes = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
        values[name] = Vector(builder, builder.shuffle_vector(one, ir.Constant(DOUBLES, ir.Undefined), lanes))
    builder.branch(loop)

    builder.position_at_end(loop)
    position = builder.phi(INT64)
    position.add_incoming(ir.Constant(INT64, 0), entry)
    left = builder.sub(count, position)
    places = [
        builder.gep(
            pointer, [builder.mul(position, ir.Constant(INT64, BYTES[dtype]))], source_etype=ir.IntType(8)
        )
        for pointer, dtype in zip([out, *pointers], types, strict=True)
    ]
    full = builder.icmp_signed(">=", left, ir.Constant(INT64, LANES))
    whole = function.append_basic_block("whole")
    builder.cbranch(full, body, whole)
    builder.position_at_end(whole)
    builder.cbranch(builder.icmp_signed(">", left, ir.Constant(INT64, 0)), partial, done)

    # The last few elements pass through buffers and the same vector code as all the others.
    builder.position_at_end(partial)
    copy = ir.Function(
        module,
        ir.FunctionType(ir.VoidType(), [_POINTER, _POINTER, INT64, ir.IntType(1)]),
        "llvm.memcpy.p0.p0.i64",
    )
    false = ir.Constant(ir.IntType(1), 0)
    sizes = [builder.mul(left, ir.Constant(INT64, BYTES[dtype])) for dtype in types]
    for buffer, place, size in list(zip(buffers, places, sizes, strict=True))[1:]:
        builder.store(ir.Constant(DOUBLES, [ir.Constant(DOUBLE, 0.0)] * LANES), buffer)
        builder.call(copy, [buffer, place, size, false])
    builder.branch(body)

    builder.position_at_end(body)
    sources = []
    for place, buffer in zip(places, buffers, strict=True):
        pointer = builder.phi(_POINTER)
        pointer.add_incoming(place, loop)
        pointer.add_incoming(buffer, partial)
        sources.append(pointer)
    for (name, dtype), pointer in zip(signature.arrays, sources[1:], strict=True):
        values[name] = load(builder, pointer, dtype)
    result = _value(signature, values, probe)
    store(builder, result, sources[0], signature.result)
    following = builder.add(position, ir.Constant(INT64, LANES))
    position.add_incoming(following, body)
    builder.cbranch(full, loop, last)

    builder.position_at_end(last)
    builder.call(copy, [places[0], buffers[0], builder.mul(left, ir.Constant(INT64, BYTES[types[0]])), false])
    builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return module


_lock = threading.Lock()
_kernels: dict[Signature, Callable[..., None]] = {}
_keep_alive: list[binding.ExecutionEngine] = []
_machine: binding.TargetMachine | None = None


def _target() -> binding.TargetMachine:
    global _machine
    if _machine is None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features = binding.get_host_cpu_features().flatten()
        target = binding.Target.from_default_triple()
        _machine = target.create_target_machine(
            cpu=binding.get_host_cpu_name(), features=features, opt=3, jit=True
        )
    return _machine


def optimise(module: ir.Module) -> binding.ModuleRef:
    """Return the module verified and optimised for this processor."""
    machine = _target()
    reference = binding.parse_assembly(str(module))
    reference.verify()
    options = binding.create_pipeline_tuning_options(speed_level=2)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(reference, passes)
    return reference


def _load(module: ir.Module) -> Callable[..., None]:
    reference = optimise(module)
    engine = binding.create_mcjit_compiler(reference, _target())
    engine.finalize_object()
    _keep_alive.append(engine)
    arity = len(next(f for f in module.functions if f.name == "kernel").args)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (arity - 1))
    return prototype(engine.get_function_address("kernel"))


def kernel(signature: Signature) -> Callable[..., None]:
    """Return the compiled kernel, from the cache when there.

    The call is ``kernel(n, out, arrays..., scalars)``: a count, addresses of contiguous memory, and the address
    of the scalars as float64. ``out`` may be one of the arrays; it must not overlap one otherwise.
    """
    found = _kernels.get(signature)
    if found is None:
        with _lock:
            found = _kernels.get(signature)
            if found is None:
                found = _load(assemble(signature))
                if len(signature.arrays) == 1 and (probe := _undefined_at(found, signature)):
                    found = _load(assemble(signature, probe))
                _kernels[signature] = found
    return found


def _undefined_at(compiled: Callable[..., None], signature: Signature) -> tuple[float, ...]:
    """Return the infinities where arithmetic itself is undefined (0 * inf, inf / inf, inf - inf) for this formula."""
    count = 2
    infinities = {8: b"\0\0\0\0\0\0\xf0\x7f", 4: b"\0\0\x80\x7f", 2: b"\x80\x7f"}
    dtype = signature.arrays[0][1]
    positive = b"\x00\x7c" if dtype == "float16" else infinities[BYTES[dtype]]
    source = ctypes.create_string_buffer(positive + positive[:-1] + bytes([positive[-1] | 0x80]))
    width = BYTES[signature.result]
    target = ctypes.create_string_buffer(count * width)
    scalars = (ctypes.c_double * max(1, len(signature.scalars)))(*[1.0] * len(signature.scalars))
    compiled(count, ctypes.addressof(target), ctypes.addressof(source), ctypes.addressof(scalars))
    limit = b"\x00\x7c" if signature.result == "float16" else infinities[width]
    # A float is nan when its bits, without the sign, are above those of infinity.
    results = [int.from_bytes(target.raw[i * width : (i + 1) * width], "little") for i in range(count)]
    above = [bits & ((1 << (8 * width - 1)) - 1) > int.from_bytes(limit, "little") for bits in results]
    return tuple(
        infinity for infinity, undefined in zip((math.inf, -math.inf), above, strict=True) if undefined
    )
