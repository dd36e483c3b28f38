"""Who wins between two forecasters: rarely by luck, surely when better, quickly when worse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from online_models.experiment.winner import Arm, WinnerRule, arm_of, choose, compare

RULE = WinnerRule(looks=5)
LINKS = 60


def arms(gain: float, rng: np.random.Generator, links: int = LINKS, days: int = 5) -> list[tuple[Arm, Arm]]:
    """Both arms after each day; links differ lastingly, days by chance, and the treatment has lower errors."""
    lasting = rng.normal(-0.1, 0.05, 2 * links)
    lasting[links:] += np.log(1.0 - gain)
    daily = lasting + rng.normal(0.0, 0.1, (days, 2 * links))
    sofar = np.cumsum(daily, axis=0) / np.arange(1, days + 1)[:, None]
    return [(Arm(day[:links], 100 * k), Arm(day[links:], 100 * k)) for k, day in enumerate(sofar, 1)]


def winner(gain: float, seed: int, links: int = LINKS, rule: WinnerRule = RULE) -> tuple[str, int]:
    """Who won, and at which look."""
    numbers: list[int] = []
    information: list[int] = []
    for look, (control, treatment) in enumerate(arms(gain, np.random.default_rng(seed), links), 1):
        numbers.append(look)
        information.append(control.scores + treatment.scores)
        found = choose(rule, control, treatment, numbers, information)
        if found.winner:
            return found.winner, look
    return "", look


def test_equal_versions_rarely_have_a_winner() -> None:
    """Of 1,000: .5 % are expected to win at most, and all others end with the last look."""
    found = [winner(0.0, seed) for seed in range(1000)]
    assert sum(who == "treatment" for who, _ in found) <= 12
    assert all(who for who, _ in found)


@pytest.mark.parametrize(("gain", "least"), [(0.05, 0.8), (0.1, 0.99)])
def test_a_better_treatment_wins(gain: float, least: float) -> None:
    found = [winner(gain, seed) for seed in range(100)]
    assert sum(who == "treatment" for who, _ in found) >= 100 * least


def test_a_worse_treatment_loses_early() -> None:
    found = [winner(-0.1, seed) for seed in range(100)]
    assert {who for who, _ in found} == {"control"}
    assert np.mean([look for _, look in found]) < 2.0


def test_a_gain_too_small_to_matter_does_not_win() -> None:
    rule = WinnerRule(looks=5, min_gain=0.1)
    assert {winner(0.05, seed, rule=rule) for seed in range(50)} == {("control", 5)}


@pytest.mark.parametrize("links", [0, 1, 19])
def test_few_links_decide_nothing_until_the_last_look(links: int) -> None:
    assert winner(0.5, 0, links) == ("control", 5)


def test_a_look_needs_more_scores_than_the_one_before() -> None:
    control, treatment = arms(0.0, np.random.default_rng(0))[0]
    with pytest.raises(ValueError, match="increase"):
        choose(RULE, control, treatment, [1, 2], [200, 200])


def test_the_effect_is_welchs() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.0, 1.0, 12), rng.normal(0.5, 3.0, 30)
    found, expected = compare(Arm(a, 1), Arm(b, 1)), ttest_ind(b, a, equal_var=False)
    assert found.value / found.error == pytest.approx(expected.statistic)
    assert found.freedom == pytest.approx(expected.df)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=1e-4)


def test_a_links_ratio_is_the_geometric_mean_of_its_moving_targets() -> None:
    scored = np.array([100, 99, 100, 100])
    error = np.array([[1.0, 2.0, 0.0, 4.0], [1.0] * 4, [0.0] * 4, [3.0] * 4])
    bar = np.array([[2.0, 2.0, 0.0, 2.0], [1.0] * 4, [0.0] * 4, [1.0] * 4])
    found = arm_of(scored, error, bar, 100)
    assert found.scores == 200
    np.testing.assert_allclose(np.exp(found.ratios), [1.0, 3.0])
