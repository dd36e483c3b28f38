"""Confidence after drift: lower from the next turn on, believed again when errors are back."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.drift.monitor import DriftMonitor, Shift
from online_models.drift.trust import Trust, doubted

TURN_MS = 60_000


def alert(value: float, threshold: float, row: int = 0) -> Shift:
    return Shift(row, DriftMonitor("selector", "error", "v1"), value, threshold, 320)


def count(trust: Trust, errors: list[float]) -> None:
    trust.take(np.arange(len(errors)), np.array(errors), [])


def heard(value: float = 0.4, threshold: float = 0.1) -> Trust:
    trust = Trust(TURN_MS)
    assert trust.factor(5 * TURN_MS) == 1.0
    trust.take(np.arange(1), np.ones(1), [alert(value, threshold)])
    return trust


def test_an_alert_tells_from_the_next_turn_on() -> None:
    trust = heard()
    assert trust.factor(6 * TURN_MS - 1) == 1.0
    assert trust.factor(6 * TURN_MS) == pytest.approx(0.25)


def test_without_an_alert_errors_change_nothing() -> None:
    trust = Trust(TURN_MS)
    count(trust, [1.0] * 1000)
    assert trust.factor(9 * TURN_MS) == 1.0


@pytest.mark.parametrize(("share", "factor"), [(0.8, 0.125), (0.2, 0.5), (0.05, 1.0)])
def test_errors_since_the_alert_say_how_much(share: float, factor: float) -> None:
    trust = heard()
    count(trust, [float(k % 20 < 20 * share) for k in range(400)])
    assert trust.factor(6 * TURN_MS) == pytest.approx(factor)


def test_it_is_believed_again_for_good() -> None:
    trust = heard()
    count(trust, [1.0] * 200)
    assert trust.factor(6 * TURN_MS) == pytest.approx(0.1)
    count(trust, [0.0] * 3000)
    assert trust.factor(7 * TURN_MS) == 1.0
    count(trust, [1.0] * 200)  # what comes then is a matter of the next alert
    assert trust.factor(8 * TURN_MS) == 1.0


def test_another_model_is_not_to_blame() -> None:
    trust = heard()
    assert trust.factor(6 * TURN_MS) < 1.0
    trust.renew()
    assert trust.factor(6 * TURN_MS) == 1.0


@pytest.mark.parametrize("cut", [1, 7, 250])
def test_the_cut_makes_no_difference(cut: int) -> None:
    wrong = np.random.default_rng(1).random(900)
    whole, pieces = heard(), heard()
    shifts = [alert(0.4, 0.1, row) for row in (3, 250, 251, 899)]
    whole.take(np.arange(900), wrong, shifts)
    for at in range(0, len(wrong), cut):
        own = [shift._replace(row=shift.row - at) for shift in shifts if at <= shift.row < at + cut]
        pieces.take(np.arange(len(wrong[at : at + cut])), wrong[at : at + cut], own)
    assert whole.memory.tobytes() == pieces.memory.tobytes()


def test_probabilities_keep_their_side_and_missing_ones_stay_so() -> None:
    given = np.array([0.05, 0.5, 0.95, np.nan])
    assert doubted(given, 1.0) is given
    np.testing.assert_allclose(doubted(given, 0.5), [0.275, 0.5, 0.725, np.nan])
