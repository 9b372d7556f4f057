"""The statistics of a contrast agree with SciPy's, table by table, and find nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evigraph.graphapi.questions.statistics import fisher_exact, log_odds_ratio, mcnemar_exact, statistics


@pytest.mark.parametrize(("size_a", "size_b"), [(1, 1), (3, 5), (22, 13), (7, 7), (40, 200), (900, 37)])
def test_fisher_is_scipys(size_a: int, size_b: int) -> None:
    random = np.random.default_rng(size_a)
    in_a, in_b = random.integers(0, size_a + 1, 120), random.integers(0, size_b + 1, 120)
    in_a[:4], in_b[:4] = (0, size_a, 0, size_a), (0, size_b, size_b, 0)
    one_by_one = [
        stats.fisher_exact([[a, size_a - a], [b, size_b - b]]).pvalue for a, b in zip(in_a, in_b, strict=True)
    ]
    assert fisher_exact(in_a, size_a, in_b, size_b) == pytest.approx(one_by_one, rel=1e-9)


def test_fisher_of_large_cohorts() -> None:
    """Where probabilities leave the range of a double, and where only a window of them does not."""
    size_a, size_b = 12_500, 37_500
    random = np.random.default_rng(0)
    rate = random.random(40) ** 3
    in_a = random.binomial(size_a, rate)
    in_b = random.binomial(size_b, np.clip(rate * random.choice([1, 1.05, 2], 40), 0, 1))
    found = fisher_exact(in_a, size_a, in_b, size_b)
    for a, b, p in zip(in_a, in_b, found, strict=True):
        expected = stats.fisher_exact([[a, size_a - a], [b, size_b - b]]).pvalue
        assert p == pytest.approx(expected, rel=1e-7, abs=1e-300)
    assert found.min() < 1e-300 < 0.01 < found.max()


def test_effect_and_interval() -> None:
    """Of 3 of 10 against 1 of 20, by hand; an empty cell gives a finite effect."""
    found = statistics(np.array([3, 0]), 10, np.array([1, 20]), 20)
    effect = np.log((3.5 / 7.5) / (1.5 / 19.5))
    error = np.sqrt(1 / 3.5 + 1 / 7.5 + 1 / 1.5 + 1 / 19.5)
    assert found.log_odds_ratio[0] == pytest.approx(effect)
    assert (found.low[0], found.high[0]) == pytest.approx((effect - 1.959964 * error, effect + 1.959964 * error))
    assert np.isfinite([found.log_odds_ratio, found.low, found.high]).all()
    assert log_odds_ratio(np.array([1]), 20, np.array([3]), 10)[0] == pytest.approx(-effect)


def test_q_is_scipys() -> None:
    random = np.random.default_rng(2)
    in_a, in_b = random.integers(0, 30, 50), random.integers(0, 80, 50)
    found = statistics(in_a, 30, in_b, 80)
    assert found.q == pytest.approx(stats.false_discovery_control(found.p, method="bh"))
    ordered = np.sort(found.p)
    by_hand = np.minimum.accumulate((ordered * 50 / np.arange(1, 51))[::-1])[::-1]
    assert np.sort(found.q) == pytest.approx(by_hand)
    assert len(statistics(np.zeros(0, int), 3, np.zeros(0, int), 4).q) == 0


def test_shuffled_cohorts_give_no_discoveries() -> None:
    """Decisions with correlated channels, divided at random 200 times: a discovery in at most 5 % of the divisions.

    With the membership that the channels do depend on there are discoveries, so that the test can fail.
    """
    random = np.random.default_rng(7)
    causes = random.random((240, 4)) < 0.3
    mixing = random.random((4, 60)) < 0.25
    held = (causes @ mixing > 0) | (random.random((240, 60)) < 0.05)
    with_discoveries, p = 0, []
    for _ in range(200):
        chosen = np.zeros(240, bool)
        chosen[random.choice(240, 60, replace=False)] = True
        found = statistics(held[chosen].sum(axis=0), 60, held[~chosen].sum(axis=0), 180)
        with_discoveries += bool((found.q < 0.05).any())
        p.append(found.p)
    assert with_discoveries <= 0.05 * 200
    assert np.mean(np.concatenate(p) < 0.05) <= 0.05
    real = causes[:, 0]
    found = statistics(held[real].sum(axis=0), int(real.sum()), held[~real].sum(axis=0), int((~real).sum()))
    assert set(np.flatnonzero(mixing[0])) == set(np.flatnonzero(found.q < 1e-6))


def test_mcnemar_is_the_binomial_test_of_pairs_that_differ() -> None:
    for only_a in range(12):
        for only_b in range(12):
            expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
            assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-12)
    assert mcnemar_exact(400, 300) == pytest.approx(stats.binomtest(400, 700).pvalue, rel=1e-9)
