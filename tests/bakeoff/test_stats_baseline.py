"""Arms against a baseline: the tests by SciPy, the rules for runs that are missing, equal or diverged by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from triode.bakeoff.stats import Against, against, compare, holm, probability_of_improvement, seeds_needed
from triode.errors import TriodeError

Rows = dict[str, dict[int, float]]
NAN = math.nan


def rows(n: int = 6) -> Rows:
    rng = np.random.default_rng(3)
    seed = rng.normal(0.0, 0.02, n)  # what the seed does to all
    level = {"relu": 0.870, "better": 0.880, "same": 0.8705, "worse": 0.860, "also same": 0.8692}
    return {
        name: {s: float(mean + seed[s] + 0.002 * rng.normal()) for s in range(n)}
        for name, mean in level.items()
    }


def standings(found: Against) -> dict[str, str]:
    return {rival.name: rival.standing for rival in found.rivals}


def test_the_tests_are_scipys_corrected_over_the_comparisons_with_the_baseline() -> None:
    matrix = rows()
    found = against(matrix, "relu")
    base = list(matrix["relu"].values())
    theirs = {
        name: reference.ttest_rel(list(row.values()), base) for name, row in matrix.items() if name != "relu"
    }
    order = [rival.name for rival in found.rivals]
    assert sorted(order) == sorted(theirs)
    assert order == sorted(order, key=lambda name: -np.mean(list(matrix[name].values())))
    corrected = holm([float(theirs[name].pvalue) for name in order])
    for rival, p in zip(found.rivals, corrected, strict=True):
        interval = theirs[rival.name].confidence_interval(0.95)
        ours = rival.difference
        assert (ours.p_value, rival.p_corrected) == pytest.approx((theirs[rival.name].pvalue, p), rel=1e-9)
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
        assert rival.level == pytest.approx(0.05 / 4)
    assert standings(found) == {"better": "win", "same": "tie", "also same": "tie", "worse": "loss"}
    assert [r.name for r in (*found.wins, *found.losses)] == ["better", "worse"]
    assert {r.name for r in found.ties} == {"same", "also same"}
    assert set(found.iqm) == set(found.estimates) == set(matrix)
    # Fewer comparisons than all pairs, so a smaller correction.
    assert found.rival("better").p_corrected <= compare(matrix).pair("better", "relu").p_corrected


def test_the_difference_is_arm_minus_baseline() -> None:
    found = against(rows(), "relu")
    assert found.rival("better").difference.mean == pytest.approx(0.010, abs=0.004)
    assert found.rival("worse").difference.mean == pytest.approx(-0.010, abs=0.004)
    assert found.rival("better").improvement.probability > 0.5 > found.rival("worse").improvement.probability
    better, base = ([*rows()[name].values()] for name in ("better", "relu"))
    together = probability_of_improvement(better, base, paired=True)
    assert found.rival("better").improvement == together != probability_of_improvement(better, base)
    assert found.iqm["better"].low < found.iqm["better"].mean < found.iqm["better"].high


def test_losses_are_accuracies_upside_down() -> None:
    up = against(rows(), "relu")
    negated = {name: {s: -v for s, v in row.items()} for name, row in rows().items()}
    down = against(negated, "relu", larger_is_better=False)
    assert [r.name for r in up.rivals] == [r.name for r in down.rivals]
    assert standings(up) == standings(down)
    for one, other in zip(up.rivals, down.rivals, strict=True):
        assert one.difference.mean == pytest.approx(-other.difference.mean)
        assert one.improvement == other.improvement
        assert one.more_seeds == other.more_seeds
    assert set(standings(against(rows(), "relu", larger_is_better=False)).values()) == {"win", "tie", "loss"}
    assert standings(against(rows(), "relu", larger_is_better=False))["better"] == "loss"


def test_the_order_of_arms_and_of_seeds_does_not_matter() -> None:
    turned = {name: dict(reversed(row.items())) for name, row in reversed(rows().items())}
    one, other = against(rows(), "relu"), against(turned, "relu")
    for a, b in zip(one.rivals, other.rivals, strict=True):
        assert (a.name, a.standing, a.improvement, a.more_seeds) == (
            b.name,
            b.standing,
            b.improvement,
            b.more_seeds,
        )
        assert a.difference.p_value == pytest.approx(b.difference.p_value)


def test_changing_places_with_the_baseline_changes_the_sides() -> None:
    pair = {name: row for name, row in rows().items() if name in ("relu", "better")}
    there, back = against(pair, "relu").rivals[0], against(pair, "better").rivals[0]
    assert (there.standing, back.standing) == ("win", "loss")
    assert there.p_corrected == pytest.approx(back.p_corrected)
    assert there.improvement.probability == pytest.approx(1 - back.improvement.probability)


def test_a_tie_says_how_many_seeds_more() -> None:
    found = against(rows(), "relu")
    for rival in found.ties:
        values = [rows()[rival.name][s] - rows()["relu"][s] for s in range(6)]
        deviation = float(np.std(values, ddof=1))
        total = seeds_needed(deviation, float(np.mean(values)), 0.05 / 4)
        assert rival.more_seeds == total - 6 > 0
        assert rival.more_seeds_for(0.005) == max(0, seeds_needed(deviation, 0.005, 0.05 / 4) - 6)
        assert rival.more_seeds_for(1.0) == 0
        assert rival.more_seeds_for(0.0) is None
        assert rival.more_seeds_for(rival.detectable() * 1.001) == 0
        assert rival.more_seeds_for(rival.detectable() * 0.9) > 0
    assert found.rival("better").more_seeds is None
    assert found.rival("better").more_seeds_for(-0.0005) > 0


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_tie_always_needs_more_seeds_than_it_had(n: int) -> None:
    rng = np.random.default_rng(n)
    ties = 0
    for _ in range(60):
        matrix = {name: dict(enumerate(rng.normal(0.5 * (name == "b"), 1.0, n))) for name in "abcd"}
        for rival in against(matrix, "a", draws=1).ties:
            ties += 1
            assert rival.more_seeds is not None
            assert rival.more_seeds > 0
    assert ties > 50


def test_seeds_are_paired_by_number_and_missing_ones_left_out() -> None:
    found = against({"a": {0: 0.1, 1: 0.9, 2: 0.5, 9: 7.0}, "b": {7: 0.0, 2: 0.45, 1: 0.86, 0: 0.05}}, "a")
    difference = found.rival("b").difference
    assert difference.n == 3
    assert difference.mean == pytest.approx(-0.14 / 3)
    assert found.rival("b").improvement.n == 3
    assert found.estimates["a"].n == found.iqm["a"].n == 4
    assert found.rival("b").diverged == ()


def test_one_seed_or_none_in_common_is_untested_and_not_in_the_correction() -> None:
    few: Rows = {
        "one": {0: 0.99},
        "none": {8: 0.5, 9: 0.4},
        "gone": dict.fromkeys(range(6), NAN),
        "not run": {},
    }
    found = against(rows() | few, "relu")
    assert {rival.name for rival in found.untested} == set(few)
    assert found.rival("better").level == pytest.approx(0.05 / 4)
    for rival in found.untested:
        assert math.isnan(rival.p_corrected)
        assert rival.more_seeds is None
        assert rival.more_seeds_for(0.005) is None
        assert math.isnan(rival.detectable())
        assert math.isnan(rival.deviation)
    assert found.rival("gone").diverged == tuple(range(6))
    assert found.rival("gone").improvement.probability == 0.0
    assert {r.name for r in found.rivals[-2:]} == {"gone", "not run"}


def test_equal_values_and_equal_differences() -> None:
    base = {0: 0.1, 1: 0.2, 2: 0.3}
    matrix: Rows = {"base": base, "copy": dict(base), "shifted": {s: v + 0.1 for s, v in base.items()}}
    matrix["rounded"] = {s: math.nextafter(v, 1.0) for s, v in base.items()}
    found = against(matrix, "base")
    copy, shifted = found.rival("copy"), found.rival("shifted")
    assert (copy.standing, copy.p_corrected, copy.more_seeds) == ("tie", 1.0, None)
    assert copy.improvement.probability == 0.5
    rounded = found.rival("rounded")
    assert (rounded.standing, rounded.difference.p_value, rounded.more_seeds) == ("tie", 1.0, None)
    assert rounded.difference.mean > 0.0
    # Three differences of 0.1 but for the last bit. The sign test: p = 2^(1 - n) < 0.05 / 3 first for n = 7.
    assert np.std([matrix["shifted"][s] - base[s] for s in base]) > 0.0
    assert (shifted.standing, shifted.difference.p_value) == ("tie", 0.25)
    assert shifted.more_seeds == copy.more_seeds_for(0.1) == 4
    assert shifted.deviation == 0.0


def test_an_arm_that_lost_its_worst_runs_does_not_win_by_the_others() -> None:
    matrix = rows(8)
    lucky = {s: v + 0.02 for s, v in matrix["relu"].items()}
    noise = np.random.default_rng(0).normal(0.0, 0.001, 8)
    lucky = {s: v + float(noise[s]) for s, v in lucky.items()}
    assert against({"relu": matrix["relu"], "lucky": lucky}, "relu").rivals[0].standing == "win"
    for lost in (NAN, -math.inf):
        broken = lucky | {3: lost, 5: lost}
        rival = against({"relu": matrix["relu"], "lucky": broken}, "relu").rivals[0]
        assert (rival.standing, rival.diverged, rival.difference.n) == ("tie", (3, 5), 6)
        assert rival.p_corrected < 0.05
        assert rival.improvement.probability < 1.0
        # The other way round: the baseline is the one that fell out, so its arm does not lose.
        back = against({"relu": matrix["relu"], "lucky": broken}, "lucky").rivals[0]
        assert (back.standing, back.diverged, back.baseline_diverged) == ("tie", (), (3, 5))
        # A seed on which both diverged is nobody's fault, and one arm's failure does not save the other.
        both = against({"relu": matrix["relu"] | {3: NAN}, "lucky": lucky | {3: lost}}, "relu").rivals[0]
        assert both.standing == "win"
        steady = against({"relu": matrix["relu"] | {3: lost}, "lucky": lucky}, "relu").rivals[0]
        assert (steady.standing, steady.diverged) == ("win", ())


def test_false_wins_are_as_rare_as_said() -> None:
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(400):
        seed = rng.normal(size=5)
        matrix = {name: dict(enumerate(seed + rng.normal(size=5))) for name in "abcdef"}
        alarms += bool(len(against(matrix, "a", draws=1).ties) < 5)
    assert alarms / 400 < 0.08


def test_only_the_baseline_and_a_name_that_is_not_there() -> None:
    alone = against({"relu": {0: 0.9, 1: 0.8}}, "relu")
    assert alone.rivals == ()
    assert alone.estimates["relu"].n == 2
    with pytest.raises(TriodeError, match=r"'rleu' is not among the arms compared .*did you mean 'relu'"):
        against({"relu": {0: 0.9}}, "rleu")
    with pytest.raises(TriodeError, match="there are none"):
        against({}, "relu")
    with pytest.raises(TriodeError, match="confidence is 95"):
        against(rows(), "relu", confidence=95)


def test_another_confidence_moves_every_part() -> None:
    strict, lax = against(rows(), "relu", confidence=0.9999), against(rows(), "relu", confidence=0.5)
    assert (strict.alpha, lax.alpha) == (0.0001, 0.5)
    assert standings(strict)["better"] == "tie"
    a, b = strict.rival("better"), lax.rival("better")
    assert b.standing == "win"
    assert a.difference.high > b.difference.high
    assert a.improvement.low < b.improvement.low
    assert strict.iqm["relu"].low < lax.iqm["relu"].low
    assert strict.estimates["relu"].low < lax.estimates["relu"].low
