"""Figures by hand, gates at their limits."""

from __future__ import annotations

import numpy as np
import pytest

from offline.training.bandwidth_score import Quality, judge, mae_by, mean_ratio, overall_accuracy, score
from schemas.network import TARGETS


def _score(**forecasts: float) -> dict[str, dict[str, Quality]]:
    """Constant forecasts of 10, 20, 10, 20, ... in every target."""
    actual = np.tile(np.array([[10.0], [20.0]]), (5, 4))
    bars = {"persistence": 14.0, "moving-average": 15.0}
    return score({k.replace("_", "-"): np.full((10, 4), v) for k, v in (bars | forecasts).items()}, actual)


def test_figures_are_those_worked_out_by_hand() -> None:
    found = _score(model=12.0)["model"]["rtt_ms"]
    assert found.mae == 5.0
    assert found.mape == pytest.approx((0.2 + 0.4) / 2)
    assert found.r2 == pytest.approx(1 - (4 + 64) / 2 / 25)
    assert found.ratio == 1.0


def test_the_better_bar_is_the_bar() -> None:
    forecasts = {
        "persistence": np.array([[1.0, 9.0, 1.0, 1.0]]), "moving-average": np.array([[9.0, 2.0, 2.0, 2.0]]),
        "model": np.array([[0.5, 1.0, 1.0, 4.0]]),
    }  # fmt: skip
    found = score(forecasts, np.zeros((1, 4)))["model"]
    assert [found[target].ratio for target in TARGETS] == [0.5, 0.5, 1.0, 4.0]


def test_bars_that_are_never_wrong_are_no_measure() -> None:
    still = np.full((5, 4), 3.0)
    found = score({"persistence": still, "moving-average": still + 1e-15, "model": still + 1}, still)["model"]
    assert [found[target].ratio for target in TARGETS] == [None] * 4


def test_zeros_have_no_relative_error() -> None:
    actual = np.zeros((4, 4))
    found = score({"persistence": actual + 1, "moving-average": actual, "model": actual}, actual)["model"]
    assert (found["packet_loss"].mape, found["packet_loss"].r2, found["packet_loss"].ratio) == (None, None, None)


def _quality(mape: float = 0.05, mae: float = 0.001, ratio: float | None = 0.9) -> dict[str, Quality]:
    return dict.fromkeys(TARGETS, Quality(mae, mape, 0.9, ratio))


def test_the_mean_ratio_is_geometric_over_what_is_judged() -> None:
    found = _quality() | {"rtt_ms": Quality(1.0, 0.1, 0.5, 0.4), "jitter_ms": Quality(0.0, None, None, None)}
    assert mean_ratio(found) == pytest.approx((0.9 * 0.9 * 0.4) ** (1 / 3))
    assert mean_ratio(_quality(ratio=None)) == 1.0


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, set()),
        ({"throughput_mbps": Quality(1.0, 0.10, 0.9, 0.9)}, {"bandwidth_mape"}),
        ({"rtt_ms": Quality(1.0, 0.16, 0.9, 0.9)}, {"latency_mape"}),
        ({"rtt_ms": Quality(1.0, 0.40, 0.9, 0.9)}, {"latency_mape", "overall_accuracy"}),
        ({"packet_loss": Quality(0.01, 0.1, 0.9, 0.9)}, {"packet_loss_mae"}),
        ({"jitter_ms": Quality(2.5, 0.1, 0.9, 0.9)}, {"jitter_mae_ms"}),
        ({"jitter_ms": Quality(1.0, 0.1, 0.9, 1.011)}, {"jitter_ms_against_bar"}),
        ({"jitter_ms": Quality(1.0, 0.1, 0.9, 1.01)}, set()),
    ],
)
def test_gates_are_those_of_the_contract(changes: dict[str, Quality], missed: set[str]) -> None:
    gates = judge(_quality() | changes, p99_ms=1.0, memory_mb=20.0)
    assert {one.gate for one in gates if not one.passed} == missed
    assert len(gates) == 11


def test_slow_or_large_models_miss_their_gates() -> None:
    gates = judge(_quality(), p99_ms=10.0, memory_mb=100.0)
    assert {one.gate for one in gates if not one.passed} == {"inference_p99_ms", "memory_mb"}


def test_accuracy_counts_an_error_of_more_than_all_as_all() -> None:
    assert overall_accuracy(_quality(mape=0.1)) == pytest.approx(0.9)
    assert overall_accuracy(_quality(mape=7.0)) == 0.0


def test_groups_have_their_own_errors() -> None:
    value, actual = np.arange(12.0).reshape(3, 4), np.zeros((3, 4))
    found = mae_by(np.array([0, 2, 2]), 3, value, actual)
    np.testing.assert_array_equal(found[0], value[0])
    np.testing.assert_array_equal(found[2], value[1:].mean(axis=0))
    assert np.isnan(found[1]).all()
