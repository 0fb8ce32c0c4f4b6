"""What the declarations say of themselves is true: prose complete, kinks where declared, numbers right."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from triode import expr
from triode.activation import Activation, Kink, Parameter, Reference
from triode.catalogue import activations, get, is_curated
from triode.functions import FAMILIES
from triode.parse import parse

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ALL = [activation for activation in activations() if is_curated(activation.name)]
POINTWISE = [activation for activation in ALL if activation.kind != "normalising"]
GATE = 0.7
"""The second input at which a gated pair is looked at as a function of its first."""
LATEST_YEAR = 2026
JUMP = 1e-6
"""Smallest change over 1e-11 that counts as a jump: rounding is 1e-13, and no declared jump is below 0.1."""

CONVENTION = re.compile(
    r"the (?:(?P<ordinal>second|third) )?derivative (?:in z )?at (?P<at>\S+) is (?P<value>.+?), "
    r"(?P<side>the left limit|the right limit|the mean of the limits) "
    r"\((?P<left>.+) from the left, (?P<right>.+) from the right\)"
)
# Gauss-Legendre quadrature for means under N(0, 1), in two halves, so that a kink at 0 does no harm.
_nodes, _weights = np.polynomial.legendre.leggauss(80)
NORMAL = np.concatenate([5 * _nodes - 5, 5 * _nodes + 5])
WEIGHTS = np.concatenate([_weights, _weights]) * 5 * np.exp(-(NORMAL**2) / 2) / np.sqrt(2 * np.pi)
ORDER_OF = {None: 1, "second": 2, "third": 3}


def name_of(activation: Activation) -> str:
    return activation.name


every = pytest.mark.parametrize("activation", ALL, ids=name_of)
every_pointwise = pytest.mark.parametrize("activation", POINTWISE, ids=name_of)
every_kinked = pytest.mark.parametrize("activation", [a for a in POINTWISE if a.kinks], ids=name_of)


def slope(activation: Activation, order: int, x: Array, parameters: dict[str, float]) -> Array:
    """Return the order-th derivative in z at x (order 0 is the value)."""
    inputs = (x, np.full_like(x, GATE)) if activation.kind == "gated" else (x,)
    if order == 0:
        return np.asarray(activation(*inputs, **parameters))
    return np.asarray(activation.derivative(*inputs, order=order, wrt="z", **parameters))


def settings(activation: Activation) -> Iterator[dict[str, float]]:
    """Give the default parameters, and one other choice that the constraints allow."""
    yield activation.defaults()
    if activation.parameters:
        yield {name: 0.6 * value + 0.05 for name, value in activation.defaults().items()}


def number(text: str, parameters: dict[str, float]) -> float:
    """Return the value of a formula in the parameters, such as ``(lower + upper) / 2``."""
    values = {**parameters, "u": GATE}
    formula = parse(text, values.keys())
    exact = expr.rational(
        expr.substitute(formula, {n: expr.constant(Fraction(v)) for n, v in values.items()})
    )
    assert exact is not None, f"{text!r} is not a number"
    return float(exact)


def prose(activation: Activation) -> list[str]:
    """Return every sentence a reader is shown."""
    return [
        activation.summary,
        activation.used_in,
        activation.when_to_use,
        *activation.pros,
        *activation.cons,
        *(parameter.summary for parameter in activation.parameters),
        *(kink.convention for kink in activation.kinks),
    ]


def jumps(f: Callable[[Array], Array]) -> list[float]:
    """Return where f jumps on about [-20, 20]: in every cell the half that changes more is kept, 33 times."""
    edges = np.linspace(-20.3, 20.7, 1025)
    left, right = edges[:-1], edges[1:]
    for _ in range(33):
        middle = (left + right) / 2
        go_left = np.abs(f(middle) - f(left)) > np.abs(f(right) - f(middle))
        left, right = np.where(go_left, left, middle), np.where(go_left, middle, right)
    return [float(x) for x in ((left + right) / 2)[np.abs(f(right) - f(left)) > JUMP]]


def check_kinks(activation: Activation) -> None:
    """Require each declared kink to be what its convention says, at the defaults and at another setting."""
    for parameters in settings(activation):
        for kink in activation.kinks:
            said = CONVENTION.match(kink.convention)
            assert said is not None, f"{kink.convention!r} does not state the value and both limits"
            assert said["at"] == kink.at
            assert ORDER_OF[said["ordinal"]] == kink.order
            at = number(kink.at, parameters)
            value, left, right = (number(said[part], parameters) for part in ("value", "left", "right"))
            assert left != right
            sides = {
                "the left limit": left,
                "the right limit": right,
                "the mean of the limits": (left + right) / 2,
            }
            assert value == sides[said["side"]]
            computed = slope(activation, kink.order, np.array([at - 1e-9, at, at + 1e-9]), parameters)
            np.testing.assert_allclose(computed[1], value, rtol=1e-15, err_msg=kink.convention)
            np.testing.assert_allclose(
                computed[[0, 2]], [left, right], rtol=1e-7, atol=1e-7, err_msg=kink.convention
            )


def check_jumps(activation: Activation) -> None:
    """Require the jumps of each derivative to be the declared ones, no more and no fewer, at the defaults."""
    parameters = activation.defaults()
    for order in range(4):
        found = sorted(set(np.round(jumps(partial(slope, activation, order, parameters=parameters)), 6)))
        lowest = [number(kink.at, parameters) for kink in activation.kinks if kink.order == order]
        lower = {number(kink.at, parameters) for kink in activation.kinks if kink.order < order}
        assert set(lowest) <= set(found), (
            f"derivative {order} is declared to jump at {lowest}; it jumps at {found}"
        )
        undeclared = set(found) - set(lowest) - lower
        assert not undeclared, f"derivative {order} jumps at {sorted(undeclared)}, which no kink declares"


def rounded(value: float, like: str) -> str:
    """Return value with as many decimals as the text ``like`` has."""
    return f"{value:.{len(like.partition('.')[2])}f}"


def check_numbers(activation: Activation) -> int:
    """Require each minimum, slope and mean output that the prose states; return how many there were."""
    parameters = activation.defaults()
    stated = 0
    for text in prose(activation):
        for value, at in re.findall(r"minimum (-?[\d.]*\d) at z = (-?[\d.]*\d)", text):
            low, high = float(at) - 0.1, float(at) + 0.1
            for _ in range(60):
                middle = (low + high) / 2
                falling = slope(activation, 1, np.array([middle]), parameters)[0] < 0
                low, high = (middle, high) if falling else (low, middle)
            assert rounded(low, at) == at, text
            minimum = slope(activation, 0, np.array([low]), parameters)[0]
            assert rounded(minimum, value) == value, text
            grid = slope(activation, 0, np.linspace(-30, 30, 6001), parameters)
            assert minimum <= grid.min() + 1e-12, text
            stated += 1
        if "slope" in text:
            for value, at in re.findall(r"(?<!minimum )(?<![-\d.])(\d+\.\d+) \(?at z = (-?[\d.]*\d)", text):
                computed = slope(activation, 1, np.array([float(at)]), parameters)[0]
                assert rounded(computed, value) == value, text
                stated += 1
        for value in re.findall(r"mean output (-?[\d.]*\d) for z ~ N\(0, 1\)", text, flags=re.IGNORECASE):
            mean = WEIGHTS @ slope(activation, 0, NORMAL, parameters)
            assert rounded(abs(mean), value) == value, text
            stated += 1
    return stated


@every
def test_a_declaration_is_complete(activation: Activation) -> None:
    for text in (activation.title, *prose(activation)):
        assert text == text.strip()
        assert text
        assert not re.search(r"  |[a-z][.;,:][A-Za-z]", text), text
    for text in (
        activation.summary,
        activation.used_in,
        activation.when_to_use,
        *activation.pros,
        *activation.cons,
    ):
        assert text.endswith(".")
    assert activation.pros
    assert activation.cons


@every
def test_a_reference_can_be_found(activation: Activation) -> None:
    reference = activation.reference
    assert reference is not None
    assert reference.authors
    assert reference.title
    assert reference.venue or reference.arxiv
    assert 1838 <= reference.year <= LATEST_YEAR
    if reference.arxiv:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", reference.arxiv)
        # An identifier begins with the year and month of its submission, which cannot be after publication.
        assert 2000 + int(reference.arxiv[:2]) <= reference.year
    else:
        assert reference.venue != "arXiv"


def test_one_paper_is_cited_in_one_way() -> None:
    references = {a.reference for a in ALL if a.reference is not None}
    papers = {(r.authors, r.title, r.year, r.arxiv) for r in references}
    assert len(papers) == len({title for _, title, _, _ in papers})
    assert len(papers) == len({arxiv or title for _, title, _, arxiv in papers})


@every
def test_defaults_meet_their_constraints(activation: Activation) -> None:
    for parameter in activation.parameters:
        assert parameter.minimum <= parameter.default <= parameter.maximum
        assert not (parameter.exclusive_minimum and parameter.default == parameter.minimum)


def test_every_name_and_alias_is_used_once() -> None:
    words = [word for activation in ALL for word in (activation.name, *activation.aliases)]
    assert len(words) == len(set(words))
    for activation in ALL:
        assert all(get(word) is activation for word in (activation.name, *activation.aliases))
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", word) for word in (activation.name, *activation.aliases))


def test_every_module_of_the_folder_is_a_family() -> None:
    folder = Path(FAMILIES[0].__file__ or "").parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {module.__name__.rpartition(".")[2] for module in FAMILIES} == modules
    assert {id(v) for m in FAMILIES for v in vars(m).values() if isinstance(v, Activation)} == {
        id(a) for a in ALL
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_family_holds_declarations_only(family: ModuleType) -> None:
    tree = ast.parse(Path(family.__file__ or "").read_text(encoding="utf-8"))
    for statement in tree.body[1:]:
        if isinstance(statement, ast.ImportFrom):
            assert statement.module in ("__future__", "triode.activation", "triode.normalising")
            continue
        assert isinstance(statement, ast.Assign), ast.unparse(statement)
        (target,) = statement.targets
        assert isinstance(target, ast.Name)
        declared = getattr(family, target.id)
        assert declared.name == target.id if isinstance(declared, Activation) else target.id.startswith("_")


@every_kinked
def test_a_kink_is_what_its_convention_says(activation: Activation) -> None:
    check_kinks(activation)


@every_pointwise
def test_only_declared_kinks_jump(activation: Activation) -> None:
    check_jumps(activation)


@every_pointwise
def test_numbers_in_the_prose_are_true(activation: Activation) -> None:
    check_numbers(activation)


def test_the_prose_states_numbers_at_all() -> None:
    assert sum(check_numbers(activation) for activation in POINTWISE) >= 18


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_elu_has_a_corner_unless_alpha_is_one(alpha: float) -> None:
    elu = get("elu")
    assert jumps(lambda x: slope(elu, 1, x, {"alpha": alpha})) == pytest.approx([0.0], abs=1e-9)
    assert slope(elu, 1, np.array([0.0]), {"alpha": alpha})[0] == alpha


def test_gelu_tanh_is_as_far_from_gelu_as_it_says() -> None:
    z = np.linspace(-10, 10, 20001)
    gelu, gelu_tanh = get("gelu"), get("gelu_tanh")
    worst = np.max(np.abs(gelu_tanh(z) - gelu(z)))
    assert "0.00048" in " ".join(gelu_tanh.pros)
    assert 0.00047 < worst < 0.00048
    assert "10 % too small at z = -3 and 84 % too small at z = -5" in " ".join(gelu_tanh.cons)
    tail = np.array([-3.0, -5.0])
    np.testing.assert_array_equal(np.round(100 * (1 - gelu_tanh(tail) / gelu(tail))), [10, 84])


def test_single_numbers_in_the_prose() -> None:
    assert "0.69315" in " ".join(get("softplus").cons)
    assert round(float(get("softplus")(0.0)), 5) == 0.69315
    assert "0.22917" in " ".join(get("rrelu").cons)
    assert round(-float(get("rrelu")(-1.0)), 5) == 0.22917
    assert "-0.31831" in " ".join(get("cauchy_gelu").cons)
    assert round(float(get("cauchy_gelu")(-1e9)), 5) == -0.31831
    assert round(float(get("cauchy_gelu")(1e3)) - 1e3, 3) == -0.318
    softsign_tail = get("softsign").derivative(5.0) / get("tanh").derivative(5.0)
    assert round(float(softsign_tail), -1) == 150


def test_cauchy_gelu_is_increasing_and_convex() -> None:
    z = np.linspace(-40, 40, 8001)
    cauchy_gelu = get("cauchy_gelu")
    assert np.all(cauchy_gelu.derivative(z) > 0)
    assert np.all(cauchy_gelu.derivative(z, 2) > 0)
    np.testing.assert_allclose(cauchy_gelu.derivative(-1e6) * 1e18, 2 / (3 * np.pi), rtol=1e-9)


def test_a_selu_layer_keeps_mean_and_variance() -> None:
    out = np.asarray(get("selu")(NORMAL))
    assert WEIGHTS @ out == pytest.approx(0, abs=1e-12)
    assert WEIGHTS @ out**2 == pytest.approx(1, abs=1e-12)


def test_gated_pairs_put_the_activation_where_they_say() -> None:
    z, u = np.array([-1.5, 0.5, 2.0]), np.array([0.3, -2.0, 1.0])
    np.testing.assert_allclose(get("glu")(z, u), z * get("sigmoid")(u), rtol=1e-15)
    for pair, inner in (("reglu", "relu"), ("geglu", "gelu"), ("swiglu", "swish")):
        np.testing.assert_allclose(get(pair)(z, u), get(inner)(z) * u, rtol=1e-15)


# A checker that cannot fail proves nothing: each planted error must be found.

TRUE_KINK = Kink(
    at="0", convention="the derivative at 0 is 0, the left limit (0 from the left, 1 from the right)"
)


def planted(formula: str, *kinks: Kink, pros: tuple[str, ...] = ()) -> Activation:
    return Activation(
        name="planted",
        formula=formula,
        title="Planted",
        summary="A wrong declaration.",
        reference=Reference(authors="Nobody", title="Nothing", year=2000, venue="nowhere"),
        parameters=(Parameter("alpha", 0.25, "unused or not"),) if "alpha" in formula else (),
        kinks=kinks,
        pros=pros,
    )


def test_the_checkers_accept_what_is_true() -> None:
    true = planted("max(z, 0)", TRUE_KINK)
    check_kinks(true)
    check_jumps(true)
    assert check_numbers(planted("z**2 - z", pros=("Has a minimum -0.25 at z = 0.50.",))) == 1


@pytest.mark.parametrize(
    "kink",
    [
        dataclasses.replace(TRUE_KINK, at="1"),
        dataclasses.replace(TRUE_KINK, order=2),
        dataclasses.replace(
            TRUE_KINK, convention=TRUE_KINK.convention.replace("is 0, the left", "is 1, the right")
        ),
        dataclasses.replace(TRUE_KINK, convention=TRUE_KINK.convention.replace("1 from", "2 from")),
        dataclasses.replace(TRUE_KINK, convention="the derivative at 0 is zero"),
    ],
    ids=["place", "order", "value", "limit", "vague"],
)
def test_a_wrong_kink_is_found(kink: Kink) -> None:
    with pytest.raises(AssertionError):
        check_kinks(planted("max(z, 0)", kink))


@pytest.mark.parametrize(
    ("formula", "kinks"),
    [
        ("max(z, 0)", ()),
        ("max(z - 0.123, 0)", (TRUE_KINK,)),
        ("max(z, 0)**3", ()),
        ("where(z > 0.01, z + 0.001, z)", ()),
        ("z", (TRUE_KINK,)),
    ],
    ids=["undeclared", "elsewhere", "third", "value", "no kink"],
)
def test_a_wrong_list_of_kinks_is_found(formula: str, kinks: tuple[Kink, ...]) -> None:
    with pytest.raises(AssertionError):
        check_jumps(planted(formula, *kinks))


@pytest.mark.parametrize(
    "claim",
    [
        "Has a minimum -0.25 at z = 0.51.",
        "Has a minimum -0.26 at z = 0.50.",
        "The slope is 1.01 at z = 1.",
        "Mean output 0.10 for z ~ N(0, 1).",
    ],
)
def test_a_wrong_number_is_found(claim: str) -> None:
    with pytest.raises(AssertionError):
        check_numbers(planted("z**2 - z", pros=(claim,)))
