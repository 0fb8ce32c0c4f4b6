"""Names, aliases and definitions: what resolves, what is refused, what another process rebuilds."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import triode
from support.catalogue import ALIASES, check_alias, check_unique
from triode import catalogue, functions
from triode.activation import Activation, Parameter
from triode.catalogue import UnknownActivation, activations, define, get, is_curated, names, specification
from triode.errors import TriodeError
from triode.expr import PRIMITIVES
from triode.parse import FormulaError

CURATED = tuple(activation for activation in activations() if is_curated(activation.name))


def name_of(activation: Activation) -> str:
    return activation.name


@pytest.fixture(autouse=True)
def own_definitions() -> Iterator[None]:
    """Begin without definitions, and take back those that a test makes."""
    before = dict(catalogue._defined)
    catalogue._defined.clear()
    yield
    catalogue._defined.clear()
    catalogue._defined.update(before)


# --- names and aliases ---


@pytest.mark.parametrize("activation", CURATED, ids=name_of)
def test_every_name_and_alias_resolves(activation: Activation) -> None:
    for word in (activation.name, *activation.aliases):
        assert get(word) is activation
        assert get(f"  {word.upper()} ") is activation
        assert getattr(triode, word) is activation
        assert is_curated(word)
        assert word in dir(triode)
    assert activation.name in names()
    assert specification(activation) == activation.name
    assert not any(alias in names() for alias in activation.aliases)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_what_the_world_calls_it(alias: str, name: str) -> None:
    check_alias(alias, name)


def test_names_are_unique() -> None:
    check_unique()
    assert names() == tuple(activation.name for activation in activations())


def test_the_chapters_functions_are_there() -> None:
    promised = [
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "prelu",
        "rrelu",
        "elu",
        "gelu",
        "gelu_tanh",
        "swish",
        "softmax",
        "log_softmax",
        "mish",
        "softplus",
        "softsign",
        "selu",
        "celu",
        "hard_sigmoid",
        "hard_swish",
        "hard_tanh",
        "relu6",
        "squared_relu",
        "log_sigmoid",
        "identity",
        "laplace_gelu",
        "cauchy_gelu",
        "glu",
        "reglu",
        "geglu",
        "swiglu",
    ]
    assert set(promised) <= set(names())


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("gleu", "gelu"),
        ("reluu", "relu"),
        ("sigmod", "sigmoid"),
        ("Swsh", "swish"),
        ("leaky-relu", "leakyrelu"),
        ("hardtahn", "hardtanh"),
        ("sofmax", "softmax"),
        ("TANHH", "tanh"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UnknownActivation, match=f"no activation is called '{wrong}'; did you mean '{right}'"):
        get(wrong)
    with pytest.raises(AttributeError, match=f"did you mean '{right}'"):
        getattr(triode, wrong)


@pytest.mark.parametrize("wrong", ["", "   ", "qqqqqqqqqqqq", "x" * 100_000, "\0", "ｒｅｌｕ"])
def test_a_name_without_a_neighbour_is_refused_all_the_same(wrong: str) -> None:
    with pytest.raises(UnknownActivation, match="no activation is called") as caught:
        get(wrong)
    assert "did you mean" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("wrong", [None, 3, b"gelu", ["gelu"], triode.gelu])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(UnknownActivation, match="an activation is named by text"):
        get(wrong)


def test_a_definition_is_suggested_too() -> None:
    define("tanhexp", "z * tanh(exp(z))")
    with pytest.raises(UnknownActivation, match="did you mean 'tanhexp'"):
        get("tanexp")


def test_a_private_name_is_no_activation() -> None:
    with pytest.raises(AttributeError, match="has no attribute '_gelu'"):
        _ = triode._gelu


# --- define ---


def test_a_definition_is_there_at_once() -> None:
    made = define("tanhexp", "z * tanh(exp(z))")
    assert get("tanhexp") is made
    assert triode.tanhexp is made
    assert names()[-1] == "tanhexp"
    assert activations()[-1] is made
    assert "tanhexp" in dir(triode)
    assert not is_curated("tanhexp")
    assert made.kind == "elementwise"
    assert str(made.expression(1)) == "tanh(exp(z)) + z * (4 * logistic_pdf(2 * exp(z)) * exp(z))"


def test_the_same_definition_twice_is_one() -> None:
    made = define("double", "2 * z")
    assert define("double", " z*2 ") is made
    assert get("double = 2 * z") is made
    with pytest.raises(TriodeError, match=r"'double' is already defined as 2 \* z; choose another name"):
        define("double", "3 * z")
    with pytest.raises(TriodeError, match="already defined"):
        define("double", "2 * z", beta=1.0)
    assert get("double") is made


def test_parameters_in_words_and_in_text() -> None:
    by_keyword = define("first", "z * sigmoid(beta * z) + k", beta=1.5, k=-2)
    by_text = get("second=z * sigmoid(beta * z) + k; beta=1.5; k = -2")
    assert by_keyword.defaults() == by_text.defaults() == {"beta": 1.5, "k": -2.0}
    assert by_keyword.formula is by_text.formula
    assert by_text(1.0) == by_keyword(1.0) == by_keyword(1.0, beta=1.5, k=-2.0)
    assert by_text(1.0, k=0.0) == by_text(1.0) + 2.0
    assert all(parameter.learnable and not parameter.learned for parameter in by_text.parameters)
    assert specification(by_text) == "second=z * sigmoid(beta * z) + k; beta=1.5; k=-2.0"
    assert get(specification(by_text)) is by_text


def test_another_default_is_another_definition() -> None:
    define("mine", "beta * z", beta=1.0)
    with pytest.raises(TriodeError, match=r"already defined as beta \* z; beta=1\.0"):
        define("mine", "beta * z", beta=2.0)


@pytest.mark.parametrize("activation", CURATED, ids=name_of)
def test_a_curated_name_or_alias_cannot_be_defined(activation: Activation) -> None:
    for word in (activation.name, *activation.aliases):
        for spelling in (word, word.upper(), word.capitalize()):
            with pytest.raises(TriodeError, match=f"'{spelling}' names a curated activation"):
                define(spelling, "z * 2")
    assert catalogue._defined == {}


@pytest.mark.parametrize(
    "bad", ["", " ", "1a", "a b", "a-b", "_a", "__init__", "a.b", "a\n", "ä", "ａ", None, 3, "a" * 50 + "!"]
)
def test_a_bad_identifier_is_refused(bad: Any) -> None:
    with pytest.raises(TriodeError, match="cannot name an activation"):
        define(bad, "z")
    assert catalogue._defined == {}


@pytest.mark.parametrize(
    "room", ["torch", "bakeoff", "plots", "names", "get", "define", "parse", "activations"]
)
def test_a_name_that_the_package_uses_itself_is_refused(room: str) -> None:
    with pytest.raises(TriodeError, match=room):
        define(room, "z * 2")
    assert catalogue._defined == {}


@pytest.mark.parametrize(
    "reserved", ["z", "u", "pi", "where", "out", "order", "wrt", "self", *sorted(PRIMITIVES)]
)
def test_a_reserved_parameter_is_refused(reserved: str) -> None:
    with pytest.raises(TriodeError, match=f"'{reserved}' cannot name a parameter"):
        get(f"mine=z; {reserved}=1")
    assert catalogue._defined == {}


@pytest.mark.parametrize("parameter", ["name", "formula"])
def test_a_parameter_may_be_called_as_an_argument_of_define(parameter: str) -> None:
    made = define("mine", f"{parameter} * z", **{parameter: 2.0})
    assert made.defaults() == {parameter: 2.0}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("z; beta", "after ';' a default such as 'beta=1.5' was expected, not ' beta'"),
        ("z; beta=", "after ';' a default"),
        ("z; =1", "cannot name a parameter"),
        ("z; beta=one", "after ';' a default"),
        ("z; beta=1=2", "after ';' a default"),
        ("z;", "after ';' a default"),
        ("beta * z; beta=nan", "beta must be finite"),
        ("beta * z; beta=inf", "beta must be finite"),
        ("z; 1a=1", "'1a' cannot name a parameter"),
        ("z; a b=1", "'a b' cannot name a parameter"),
        ("beta * z; beta=1; beta=2", "beta"),
    ],
)
def test_a_wrong_default_is_refused(text: str, says: str) -> None:
    with pytest.raises(TriodeError, match=says):
        get(f"mine={text}")
    assert catalogue._defined == {}


@pytest.mark.parametrize(
    "value", ["abc", None, [1.0], 1j, float("nan"), 10**400, True], ids=lambda value: f"{value!r:.12}"
)
def test_a_default_that_is_no_real_number_is_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises(TriodeError, match="beta"):
        define("mine", "beta * z", beta=value)
    assert catalogue._defined == {}


def test_one_parameter_given_twice_is_refused() -> None:
    with pytest.raises(TriodeError, match="beta"):
        define("mine", "beta * z; beta=1", beta=3.0)


@pytest.mark.parametrize(
    ("formula", "says"),
    [("z +", "column 4"), ("z * beta", "'beta' is neither"), ("z * u", "'u' is neither"), ("", "column 1")],
)
def test_a_wrong_formula_is_refused_with_its_column(formula: str, says: str) -> None:
    with pytest.raises(FormulaError, match=says):
        define("mine", formula)
    with pytest.raises(TriodeError, match="a formula is text"):
        define("mine", 3)  # type: ignore[arg-type]
    assert catalogue._defined == {}


# --- other processes ---

SPECIFICATIONS = (
    "gelu",
    "silu",
    "tanhexp=z * tanh(exp(z))",
    "mine=z * sigmoid(b * z) + where(z >= 0, 0.1, -c) / 3; b=1.5; c=1e-05",
    "small=1e-120 * z + z",
    "power=(z**2)**3 - -2 * z**-2 * pi",
)


def test_a_specification_is_rebuilt_in_a_fresh_process(tmp_path: Path) -> None:
    made = [get(text) for text in SPECIFICATIONS]
    code = (
        "import sys, triode\n"
        "from triode.catalogue import get, specification\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    a = get(line)\n"
        "    print(specification(a), a(-1.25).hex(), a.derivative(-1.25).hex(), a.defaults(), sep='|')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(specification(a) for a in made),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    expected = [
        (specification(a), a(-1.25).hex(), a.derivative(-1.25).hex(), str(a.defaults())) for a in made
    ]
    assert [tuple(line.split("|")) for line in run.stdout.splitlines()] == expected


@pytest.mark.parametrize("activation", CURATED, ids=name_of)
def test_a_curated_activation_is_pickled_by_name(activation: Activation) -> None:
    assert pickle.loads(pickle.dumps(activation)) is activation
    assert copy.deepcopy(activation) is activation
    assert copy.copy(activation) is activation
    assert len(pickle.dumps(activation)) < 200


def test_a_defined_activation_is_pickled_as_its_formula() -> None:
    made = get("mine=z * sigmoid(b * z); b=1.5")
    packed = pickle.dumps(made)
    assert pickle.loads(packed) is made
    catalogue._defined.clear()
    again = pickle.loads(packed)
    assert again is not made
    assert get("mine") is again
    assert again.formula is made.formula
    assert again.parameters == made.parameters
    define("other", "z")
    catalogue._defined["mine"] = get("other")
    with pytest.raises(TriodeError, match="already defined"):
        pickle.loads(packed)


# --- the families ---


def planted(monkeypatch: pytest.MonkeyPatch, **declared: Activation) -> None:
    family = ModuleType("planted_family")
    vars(family).update(declared)
    monkeypatch.setattr(functions, "FAMILIES", (*functions.FAMILIES, family))


def test_the_families_are_collected_as_they_are() -> None:
    found, aliases = catalogue._collect()
    assert found == catalogue._curated
    assert aliases == catalogue._aliases


@pytest.mark.parametrize(
    ("name", "aliases", "twice"),
    [
        ("gelu", (), "gelu"),
        ("silu", (), "silu"),
        ("novel", ("silu",), "silu"),
        ("novel", ("gelu",), "gelu"),
        ("novel", ("same", "same"), "same"),
        ("novel", ("novel",), "novel"),
    ],
    ids=[
        "name as name",
        "name as alias",
        "alias as alias",
        "alias as name",
        "alias twice",
        "alias of itself",
    ],
)
def test_a_name_declared_twice_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, aliases: tuple[str, ...], twice: str
) -> None:
    planted(monkeypatch, **{name: Activation(name, "z * 2", aliases=aliases)})
    with pytest.raises(TypeError, match=f"planted_family: the name '{twice}' is declared twice"):
        catalogue._collect()


def test_a_declaration_under_another_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, novel=Activation("other", "z * 2"))
    with pytest.raises(TypeError, match=r"planted_family\.novel declares the name 'other'; they must agree"):
        catalogue._collect()


def test_a_new_declaration_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    novel = Activation("novel", "z * b", aliases=("fresh",), parameters=(Parameter("b", 1.0, "a number"),))
    planted(monkeypatch, novel=novel, ignored="no activation")  # type: ignore[arg-type]
    found, aliases = catalogue._collect()
    assert found["novel"] is novel
    assert aliases["fresh"] == "novel"
    assert "ignored" not in found


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_function_along_an_axis_has_no_formula_to_differentiate(name: str) -> None:
    activation = get(name)
    for refused in (activation.expression, activation.derived, activation.derivative):
        with pytest.raises(TriodeError, match="works along an axis"):
            refused(1)
