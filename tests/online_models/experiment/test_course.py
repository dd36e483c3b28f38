"""Experiments: arms as everybody computes them, bounds as published, and a course that ends as it should."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from online_models.experiment.arm import CONTROL, TREATMENT, arms_of, buckets_of
from online_models.experiment.arm_sum import ArmSums
from online_models.experiment.bound import boundaries, crossing_probability, spent
from online_models.experiment.course import HOUR_MS, Measure, Plan, begin, roll_back, take_look
from online_models.experiment.effect import compare, sample_ratio_p
from schemas.error import StateError
from schemas.experiment import RAMP_PCT, ExperimentState

DAY_MS = 24 * HOUR_MS
LEVEL = 0.05


def fnv1a(text: str) -> int:
    """The definition, byte by byte."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=40), max_size=30))
def test_arms_are_the_reference_hash(ids: list[str]) -> None:
    assert buckets_of(ids).tolist() == [fnv1a(text) % 100 if text else -1 for text in ids]


def test_a_larger_ramp_keeps_those_that_were_in() -> None:
    ids = [f"req-{k:010d}" for k in range(20_000)]
    arms = [arms_of(ids, ramp) for ramp in RAMP_PCT]
    for smaller, larger in pairwise(arms):
        assert (larger >= smaller).all()
    for ramp, arm in zip(RAMP_PCT, arms, strict=True):
        assert arm.mean() == pytest.approx(ramp / 100, abs=0.01)
    assert arms_of(["", "a"], 100).tolist() == [-1, 1]


def looks(n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(float(k) for k in range(1, n + 1)), tuple(k / n for k in range(1, n + 1))


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # five equal looks, two-sided .05: Reboussin, DeMets, Kim, Lan (2000)
        ("obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_are_the_published_ones(spending: Any, published: list[float]) -> None:
    assert boundaries(*looks(5), LEVEL, spending) == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize(
    ("n", "obrien_fleming", "pocock"),
    [(2, 1.977, 2.178), (5, 2.040, 2.413), (10, 2.087, 2.555), (20, 2.126, 2.672)],  # Jennison, Turnbull (2000)
)
def test_crossing_probabilities_of_the_published_constants_are_the_level(
    n: int, obrien_fleming: float, pocock: float
) -> None:
    information, _ = looks(n)
    bounds = [obrien_fleming * (n / k) ** 0.5 for k in information]
    assert crossing_probability(information, bounds) == pytest.approx(LEVEL, abs=1e-4)
    assert crossing_probability(information, [pocock] * n) == pytest.approx(LEVEL, abs=1e-4)


def test_28_looks_at_a_fixed_limit_are_wrong_in_28_percent() -> None:
    assert crossing_probability(looks(28)[0], [1.96] * 28) == pytest.approx(0.275, abs=0.002)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(0.05, 5.0), min_size=1, max_size=8),
    st.sampled_from(["obrien_fleming", "pocock"]),
    st.sampled_from([0.01, 0.05]),
)
def test_whatever_the_information_the_level_is_spent_and_no_more(
    steps: list[float], spending: Any, level: float
) -> None:
    information = tuple(np.cumsum(steps).tolist())
    times = tuple((k + 1) / len(steps) for k in range(len(steps)))
    bounds = boundaries(information, times, level, spending)
    assert crossing_probability(information, bounds) == pytest.approx(spent(1.0, level, spending), abs=1e-5)
    # What is decided later changes nothing of what was decided before.
    assert boundaries(information[:-1], times[:-1], level, spending) == bounds[:-1]


@pytest.mark.parametrize("information", [(0.0,), (1.0, 1.0), (2.0, 1.0)])
def test_information_must_increase(information: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must increase"):
        boundaries(information, information, LEVEL)


MEASURES = (Measure("rate", "Mbps", "primary", "log", "higher"), Measure("error", "1", margin=0.01))
PLAN = Plan(
    experiment_id="e", model_name="selector", control_version="1", treatment_version="2", measures=MEASURES,
    min_requests_per_arm=1_000,
)  # fmt: skip
KEYS = [f"n{k}:hub".encode() for k in range(30)]


def put(
    sums: ArmSums, seed: int, n: int, ramp: int, *, lift: float = 0.0, error: float = 0.001, shift: int = 0
) -> None:
    """Requests over thirty links; the treatment's rates are `lift` better, and it fails in a share `error`."""
    rng = np.random.default_rng(seed)
    link = rng.integers(len(KEYS), size=n)
    arm = arms_of([f"{seed}/{k}" for k in range(n)], ramp + shift)
    rate = rng.normal(np.arange(len(KEYS))[link] / 10 + lift * arm, 0.3)
    failed = rng.random(n) < np.where(arm == TREATMENT, error, 0.001)
    sums.add([KEYS[k] for k in link.tolist()], ramp, arm, np.column_stack([rate, failed]))


def run(days: int = 40, each: int = 2_000, **traffic: Any) -> list[Any]:
    """All looks of an experiment with so many requests a day."""
    state, sums, found = begin(PLAN, 0), ArmSums(PLAN.metrics), []
    for day in range(1, days + 1):
        put(sums, day, each, state.ramp_pct, **traffic)
        look = take_look(PLAN, state, sums, day * DAY_MS)
        if look is not None:
            found.append(look)
            state = look.state
    return found


def test_a_gain_goes_through_every_stage_and_is_promoted() -> None:
    found = run(lift=0.1)
    ramps = [look.state.ramp_pct for look in found]
    assert ramps == sorted(ramps)
    assert set(ramps) == set(RAMP_PCT)
    assert [look.result.decision for look in found[:4]] == ["wait", "advance", "wait", "advance"]
    assert (found[-1].result.decision, found[-1].state.status) == ("promote", "passed")
    passed = next(look for look in found if look.state.ramp_pct == 100)
    assert found[-1].state.timestamp - passed.state.timestamp >= 72 * HOUR_MS
    (primary,) = [c for c in passed.result.comparisons if c.role == "primary"]
    assert primary.lift_lower_pct < 100 * np.expm1(0.1) < primary.lift_upper_pct
    assert min(passed.state.control_requests, passed.state.treatment_requests) >= PLAN.min_requests_per_arm


@pytest.mark.parametrize(
    ("traffic", "decision", "status", "reason"),
    [
        ({"lift": 0.0}, "stop", "failed", "no gain above 5 %"),
        ({"lift": 0.03}, "stop", "failed", "no gain above 5 %"),  # certain, but too little
        ({"lift": -0.1}, "rollback", "rolled_back", "rate is worse"),
        ({"lift": 0.1, "error": 0.2}, "rollback", "rolled_back", "error worse beyond its margin"),
        ({"lift": 0.1, "error": 1.0}, "rollback", "rolled_back", "error worse beyond its margin"),
        ({"shift": 5}, "stop", "stopped", "not shared as planned"),
    ],
)
def test_everything_else_ends_otherwise(traffic: dict[str, Any], decision: str, status: str, reason: str) -> None:
    last = run(**traffic)[-1]
    assert (last.result.decision, last.state.status) == (decision, status)
    assert reason in last.state.reason
    assert last.state.ramp_pct < 100


def test_it_is_not_decided_before_both_arms_have_their_requests() -> None:
    passed = next(look for look in run(each=400, lift=0.5) if look.state.ramp_pct == 100)
    assert passed.state.treatment_requests >= PLAN.min_requests_per_arm


def test_looks_are_taken_at_their_times_and_never_twice() -> None:
    state, sums = begin(PLAN, 0), ArmSums(PLAN.metrics)
    put(sums, 1, 2_000, 1)
    assert take_look(PLAN, state, sums, DAY_MS - 1) is None
    look = take_look(PLAN, state, sums, 5 * DAY_MS)  # four were missed: their share is spent now
    assert look is not None
    assert look.state.look_numbers == [5]
    put(sums, 2, 2_000, 1)
    assert take_look(PLAN, look.state, sums, 5 * DAY_MS + HOUR_MS) is None
    assert take_look(PLAN, look.state, sums, 6 * DAY_MS) is not None


def test_nothing_is_looked_at_when_nothing_came() -> None:
    state, sums = begin(PLAN, 0), ArmSums(PLAN.metrics)
    assert take_look(PLAN, state, sums, DAY_MS) is None
    put(sums, 1, 2_000, 1)
    look = take_look(PLAN, state, sums, DAY_MS)
    assert look is not None
    assert take_look(PLAN, look.state, sums, 2 * DAY_MS) is None


def test_after_a_rollback_nothing_is_looked_at() -> None:
    sums = ArmSums(PLAN.metrics)
    put(sums, 1, 2_000, 1)
    state = roll_back(begin(PLAN, 0), 7, "error 0.2 beyond 0.001")
    assert (state.status, state.reason, state.timestamp) == ("rolled_back", "error 0.2 beyond 0.001", 7)
    assert take_look(PLAN, state, sums, DAY_MS) is None


def test_a_restart_in_between_changes_nothing() -> None:
    def go(restart: bool) -> list[ExperimentState]:
        state, sums, found = begin(PLAN, 0), ArmSums(PLAN.metrics), []
        for day in range(1, 12):
            put(sums, day, 2_000, state.ramp_pct, lift=0.06)
            if restart:
                sums, captured = ArmSums(PLAN.metrics), sums.capture()
                sums.load(captured)
            look = take_look(PLAN, state, sums, day * DAY_MS)
            if look is not None:
                state = look.state
                found.append(state)
        return found

    assert go(True) == go(False)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 300), max_size=6))
def test_sums_do_not_depend_on_how_requests_were_cut(cuts: list[int]) -> None:
    rng = np.random.default_rng(3)
    link = [KEYS[k] for k in rng.integers(len(KEYS), size=400).tolist()]
    arm = rng.integers(-1, 2, 400).astype(np.int8)
    values = rng.normal(size=(400, 2))
    values[::7, 1] = np.nan
    whole, cut = ArmSums(PLAN.metrics), ArmSums(PLAN.metrics)
    whole.add(link, 10, arm, values)
    for first, end in pairwise([0, *sorted(set(cuts)), 400]):
        cut.add(link[first:end], 10, arm[first:end], values[first:end])
    assert cut.capture() == whole.capture()
    assert whole.requests(CONTROL) == np.count_nonzero(arm == CONTROL)
    assert whole.rows["known"].sum() == np.isfinite(values[arm >= 0]).sum()


@pytest.mark.parametrize("captured", [b"", b"\x00", ArmSums(["other"]).capture()])
def test_sums_of_something_else_are_refused(captured: bytes) -> None:
    with pytest.raises(StateError):
        ArmSums(PLAN.metrics).load(captured)


def test_what_both_arms_of_a_link_have_in_common_drops_out() -> None:
    sums = ArmSums(["x"])
    measure = Measure("x", "1", "primary", "amount", "higher")
    for k, key in enumerate(KEYS):  # the treatment has more of the requests where and when the link is fast
        for ramp, level in ((1, 1_000.0 * (k + 1)), (50, 10.0 * (k + 1))):
            arm = np.repeat([0, 1], [99, 1] if ramp == 1 else [50, 50]).astype(np.int8)
            sums.add([key] * 100, ramp, arm, (level * (1 + 0.02 * arm))[:, None])
    arms = compare(sums, measure)
    assert arms.effect.value == pytest.approx(0.02)
    assert arms.treatment == pytest.approx(1.02 * arms.control)


def test_few_links_decide_nothing() -> None:
    sums = ArmSums(["x"])
    for key in KEYS[:3]:
        sums.add([key] * 100, 50, np.repeat([0, 1], 50).astype(np.int8), np.repeat([0.0, 1.0], 50)[:, None])
    arms = compare(sums, Measure("x", "1"))
    assert arms.effect.value == pytest.approx(1.0)
    assert arms.effect.z() == 0.0


def test_the_sample_ratio_is_a_chi_square_where_requests_do_not_clump() -> None:
    sums = ArmSums(["x"])
    rng = np.random.default_rng(1)
    arm = (rng.random(20_000) < 0.52).astype(np.int8)
    # Every link has the same share, so that nothing is put down to clumps.
    key = [KEYS[k % len(KEYS)] for k in range(len(arm))]
    sums.add(key, 50, np.sort(arm)[rng.permutation(len(arm))], np.zeros((len(arm), 1)))
    counts = np.bincount(arm)
    assert sample_ratio_p(sums) == pytest.approx(chisquare(counts).pvalue, rel=0.5)
    assert sample_ratio_p(sums) < 1e-6


def test_without_an_effect_the_level_is_kept_and_naive_tests_do_not() -> None:
    from tests.bench.experiment import measure_rates

    found = measure_rates(60, 1, [LEVEL])[str(LEVEL)]
    assert found["by link, 28 looks, O'Brien-Fleming"]["low"] <= LEVEL
    assert found["by link, 28 looks, O'Brien-Fleming"]["rate"] <= 0.15
    assert found["t-test, 28 looks"]["low"] > 0.5
    assert found["t-test, 28 looks, O'Brien-Fleming"]["low"] > 2 * LEVEL
    assert found["sample ratio"]["rate"] <= 0.15
