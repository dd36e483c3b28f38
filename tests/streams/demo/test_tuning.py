"""What a rollout gained is read from nodes with and without the new values, over nodes, with an interval."""

from __future__ import annotations

import numpy as np
import pytest

from streams.demo.tuning import _compared, _led_to, _missing


def test_the_interval_covers_the_effect_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        found = _compared(rng.normal(-0.2, 0.05, 6), rng.normal(0.0, 0.1, 10))
        assert found is not None
        covered.append(found["lower"] < 100 * np.expm1(-0.2) < found["upper"])
    assert 0.92 < np.mean(covered) < 0.98


def test_one_treated_node_is_as_unsure_as_the_others_spread() -> None:
    others = np.random.default_rng(2).normal(0.0, 0.05, 12)
    found = _compared(np.array([-0.3]), others)
    assert found is not None
    assert (found["nodes"], found["held_back"]) == (1, 12)
    assert found["upper"] - found["lower"] > 100 * 2 * others.std()


def test_nothing_is_compared_without_others() -> None:
    assert _compared(np.array([-0.3]), np.array([0.1])) is None
    assert _missing({"latency": None, "throughput": None})


@pytest.mark.parametrize(("upper", "lower", "shown"), [(-1.0, 1.0, True), (0.5, 1.0, False), (-1.0, -0.1, False)])
def test_only_what_is_certain_is_an_improvement(upper: float, lower: float, shown: bool) -> None:
    latency, throughput = {"mean": -5.0, "lower": -9.0, "upper": upper}, {"mean": 5.0, "lower": lower, "upper": 9.0}
    assert (not _missing({"latency": latency, "throughput": throughput})) == shown


@pytest.mark.parametrize(
    ("status", "stage", "then"), [("running", 5, 5), ("advanced", 5, 25), ("advanced", 50, 100), ("rolled_back", 5, 0)]
)
def test_a_passed_stage_leads_to_the_next(status: str, stage: int, then: int) -> None:
    assert _led_to({"status": status, "stage": stage}) == then
