"""How a formula is written: as text that the parser reads back, and as LaTeX."""

from __future__ import annotations

from fractions import Fraction

from triode.expr import COMPARISONS, PRIMITIVES, Expr, fold

_SUM, _PRODUCT, _UNARY, _POWER, _ATOM = range(5)


def _number(value: Fraction) -> tuple[str, int]:
    """Return an exact number as text: a decimal where it has one, with an exponent when long, else a quotient."""
    sign = "-" if value < 0 else ""
    magnitude = abs(value)
    denominator = magnitude.denominator
    twos = fives = 0
    while denominator % 2 == 0:
        denominator, twos = denominator // 2, twos + 1
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    places = max(twos, fives)
    digits = str(magnitude.numerator * 10**places // magnitude.denominator) if denominator == 1 else ""
    level = _UNARY if sign else _ATOM
    shortest = digits.rstrip("0") or "0"
    exponent = len(digits) - 1 - places
    if denominator != 1 or len(shortest) > 99:
        return f"{sign}{magnitude.numerator} / {magnitude.denominator}", _PRODUCT
    if not -20 < exponent < 40:
        point = f".{shortest[1:]}" if shortest[1:] else ""
        return f"{sign}{shortest[0]}{point}e{exponent}", level
    padded = digits.rjust(places + 1, "0")
    return sign + (f"{padded[:-places]}.{padded[-places:]}" if places else padded), level


def to_text(root: Expr) -> str:
    """Return the formula in the grammar that ``parse`` reads, with the fewest parentheses."""

    def wrap(part: tuple[str, int], least: int) -> str:
        return part[0] if part[1] >= least else f"({part[0]})"

    def visit(node: Expr, args: tuple[tuple[str, int], ...]) -> tuple[str, int]:
        match node.op:
            case "constant":
                return _number(node.value if isinstance(node.value, Fraction) else Fraction(0))
            case "symbol":
                return str(node.value), _ATOM
            case "pi":
                return "pi", _ATOM
            case "add":
                return f"{wrap(args[0], _SUM)} + {wrap(args[1], _PRODUCT)}", _SUM
            case "sub":
                return f"{wrap(args[0], _SUM)} - {wrap(args[1], _PRODUCT)}", _SUM
            case "mul":
                return f"{wrap(args[0], _PRODUCT)} * {wrap(args[1], _UNARY)}", _PRODUCT
            case "div":
                return f"{wrap(args[0], _PRODUCT)} / {wrap(args[1], _UNARY)}", _PRODUCT
            case "neg":
                return f"-{wrap(args[0], _PRODUCT)}", _SUM if args[0][1] == _PRODUCT else _UNARY
            case "power":
                return f"{wrap(args[0], _ATOM)}**{node.value}", _POWER
            case op if op in COMPARISONS:
                return f"{args[0][0]} {COMPARISONS[op]} {args[1][0]}", _SUM
            case op:
                return f"{op}({', '.join(text for text, _ in args)})", _ATOM

    return fold(root, visit)[0]


def to_latex(root: Expr) -> str:
    """Return the formula as LaTeX mathematics."""

    def wrap(part: tuple[str, int], least: int) -> str:
        return part[0] if part[1] >= least else rf"\left({part[0]}\right)"

    def visit(node: Expr, args: tuple[tuple[str, int], ...]) -> tuple[str, int]:
        match node.op:
            case "constant":
                value = node.value if isinstance(node.value, Fraction) else Fraction(0)
                text, level = _number(value)
                if "/" in text:
                    sign = "-" if value < 0 else ""
                    return rf"{sign}\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}", _UNARY
                return text, level
            case "symbol":
                return _GREEK.get(str(node.value), str(node.value).replace("_", r"\_")), _ATOM
            case "pi":
                return r"\pi", _ATOM
            case "add" | "sub":
                sign = "+" if node.op == "add" else "-"
                return f"{args[0][0]} {sign} {wrap(args[1], _PRODUCT)}", _SUM
            case "mul":
                dot = r" \cdot " if args[1][0][:1].isdigit() else r" \, "
                return f"{wrap(args[0], _PRODUCT)}{dot}{wrap(args[1], _UNARY)}", _PRODUCT
            case "div":
                return rf"\frac{{{args[0][0]}}}{{{args[1][0]}}}", _UNARY
            case "neg":
                return f"-{wrap(args[0], _PRODUCT)}", _SUM
            case "power":
                return f"{wrap(args[0], _ATOM)}^{{{node.value}}}", _POWER
            case "where":
                cases = rf"{args[1][0]} & {args[0][0]} \\ {args[2][0]} & \text{{otherwise}}"
                return rf"\begin{{cases}}{cases}\end{{cases}}", _ATOM
            case op if op in COMPARISONS:
                return f"{args[0][0]} {_LATEX_COMPARISONS[op]} {args[1][0]}", _SUM
            case op:
                level = _POWER if op in ("exp", "gaussian") else _ATOM  # written as powers of e
                return PRIMITIVES[op].latex.format(*(text for text, _ in args)), level

    return fold(root, visit)[0]


_LATEX_COMPARISONS = {"lt": "<", "le": r"\le", "gt": ">", "ge": r"\ge"}
_GREEK = {name: "\\" + name for name in ("alpha", "beta", "gamma", "delta", "lambda", "mu", "theta", "sigma")}
