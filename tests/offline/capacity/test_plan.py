"""From forecasts to needs, urgency, cost, time line, risks and alerts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from offline.capacity.blend import look_ahead
from offline.capacity.history import DAY_MS, HOUR_MS, History
from offline.capacity.plan import Case, divergence_alerts, make_case, make_plan, urgency_alerts
from offline.capacity.resource import RESOURCES, Resource, Settings, read_settings, usable
from schemas.capacity import THRESHOLDS, CapacityForecast, CapacityPlan
from schemas.codec import codec_of
from schemas.error import ConfigError

Make = Callable[..., History]
STORAGE = msgspec.structs.replace(RESOURCES["storage"], size=40_000.0)


def _case(history: History, name: str = "storage", resource: Resource = STORAGE) -> Case:
    return make_case("us-east", name, resource, look_ahead(history, 30))


def _plan(*cases: Case) -> CapacityPlan:
    return make_plan("us-east", cases, Settings(), 1)


def _line(level: float, slope: float, days: int = 90) -> History:
    """A straight line by the hour with a little noise, at `level` on its last day."""
    t = np.arange(24 * days) / 24.0
    return History(0, HOUR_MS, level + slope * (t - t[-1]) + np.random.default_rng(0).normal(0, 0.05, len(t)))


@pytest.mark.parametrize(
    ("level", "slope", "urgency"),
    [(83, 0.5, "URGENT"), (80, 0.5, "HIGH"), (75, 0.5, "MEDIUM"), (60, 0.1, "LOW"), (40, 0, "LOW")],
)
def test_urgency_follows_from_the_date(level: float, slope: float, urgency: str) -> None:
    need = _plan(_case(_line(level, slope))).needs["storage"]
    assert need.urgency == urgency
    if slope == 0.5:
        assert need.days_to_threshold == pytest.approx((85 - level) / slope, rel=0.25, abs=1.0)
    else:
        assert (need.exceeds_at, need.days_to_threshold) == (None, None)


def test_records_are_those_of_their_topics(hourly: Make) -> None:
    case = _case(hourly(60, growth=0.5))
    plan = _plan(case)
    for record in (case.forecast, plan, *urgency_alerts(plan, [case], None)):
        codec = codec_of(type(record))
        assert codec.decode([msgspec.json.encode(record)]) == ([record], [])
    assert plan.timeline
    assert plan.needs["storage"].add_pct > 0


def test_the_forecast_tells_one_story(hourly: Make) -> None:
    record = _case(hourly(60, growth=0.5)).forecast
    lists = (record.predicted, record.lower, record.upper, record.threshold_probability, record.critical_probability)
    assert {len(values) for values in lists} == {30 * 24}
    assert record.first_target_time == record.timestamp + record.step_ms
    assert np.all(np.array(record.threshold_probability) >= record.critical_probability)
    assert (record.threshold, record.critical_threshold) == THRESHOLDS["storage"]


def test_what_is_added_leaves_the_buffer_and_costs() -> None:
    need = _plan(_case(_line(75, 0.4))).needs["storage"]
    peak = 75 + 0.4 * 30
    assert need.add_pct == pytest.approx(100 * (peak * 1.2 / 75 - 1), abs=4.0)
    assert need.cost_estimate == pytest.approx(need.add_pct / 100 * 40_000 * 0.1, rel=0.01)
    assert need.recommended_action.endswith("GB")


def test_the_time_line_is_in_order_and_ahead_of_the_need() -> None:
    soon, later = _case(_line(80, 0.5), "disk"), _case(_line(72, 0.5))
    plan = _plan(later, soon)
    assert [step.resource for step in plan.timeline] == ["disk", "storage"]
    exceeds_at = plan.needs["storage"].exceeds_at
    assert exceeds_at is not None
    assert plan.timeline[1].due == exceeds_at - 14 * DAY_MS
    assert plan.cost_estimate == pytest.approx(sum(need.cost_estimate for need in plan.needs.values()))


def test_a_burst_is_told_but_nothing_is_urgent_for_it() -> None:
    value = np.random.default_rng(0).normal(40.0, 2.0, 60 * 24)
    value[::97] = 95.0
    plan = _plan(_case(History(0, HOUR_MS, value)))
    need = plan.needs["storage"]
    assert need.exceeds_probability > 0.6
    assert " 0 % but for bursts" in " ".join(plan.risks)
    assert (need.urgency, need.exceeds_at) == ("LOW", None)


def test_latency_asks_for_no_capacity() -> None:
    need = _plan(_case(_line(480, 3.0), "latency", RESOURCES["latency"])).needs["latency"]
    assert (need.unit, need.add_pct, need.cost_estimate) == ("ms", 0.0, 0.0)
    assert need.recommended_action.startswith("find what drives latency")


def test_alerts_tell_changes_of_urgency_only() -> None:
    calm, urgent = _case(_line(40, 0.0)), _case(_line(83, 0.5))
    before, now = _plan(calm), _plan(urgent)
    assert urgency_alerts(before, [calm], None) == []
    (first,) = urgency_alerts(now, [urgent], None)
    (changed,) = urgency_alerts(now, [urgent], before)
    assert (first.previous_urgency, changed.previous_urgency, changed.urgency) == (None, "LOW", "URGENT")
    assert urgency_alerts(now, [urgent], now) == []


@pytest.mark.parametrize(("jump", "alerts"), [(1.0, 0), (1.1, 0), (1.3, 1), (0.7, 1)])
def test_leaving_the_forecast_is_an_alert(jump: float, alerts: int) -> None:
    earlier = _case(_line(50, 0.0, 80))
    value = np.concatenate([earlier.outlook.history.value, np.full(5 * 24, 50 * jump)])
    now = _case(History(0, HOUR_MS, value))
    found = divergence_alerts(_plan(now), [now], [earlier.forecast], 15.0)
    assert len(found) == alerts
    if found:
        assert found[0].reason == "divergence"
        assert found[0].divergence_pct == pytest.approx(100 * (jump - 1), abs=1.0)


def test_forecasts_of_others_say_nothing() -> None:
    earlier = _case(_line(50, 0.0, 80)).forecast
    now = _case(_line(90, 0.0, 85))
    others = [
        msgspec.structs.replace(earlier, scope="eu-west"),
        msgspec.structs.replace(earlier, resource="cpu"),
        msgspec.structs.replace(earlier, first_target_time=earlier.first_target_time + 40 * DAY_MS),
    ]
    assert divergence_alerts(_plan(now), [now], others, 15.0) == []


def test_risks_are_said(hourly: Make) -> None:
    value = hourly(40).value.copy()
    value[100:300] = np.nan
    risks = " ".join(_plan(_case(History(0, HOUR_MS, value))).risks)
    assert "40 days of history for 30 days ahead" in risks
    assert "21 % of the history is missing" in risks


def test_settings_change_and_add_resources(tmp_path: Path) -> None:
    path = tmp_path / "capacity.toml"
    path.write_text('cost_unit = "EUR"\n[resource.cpu]\nsize = 64\n[resource.gpu]\nwarning = 70\ncritical = 90\n')
    settings, resources = read_settings(path)
    assert settings.cost_unit == "EUR"
    assert (resources["cpu"].size, resources["cpu"].critical) == (64, 85.0)
    assert usable("gpu", resources["gpu"]).warning == 70


@pytest.mark.parametrize(
    "text", ["[resource.cpu]\nsise = 64\n", "[resource.cpu]\nsize = 'big'\n", "no toml", "colour = 1\n"]
)
def test_what_is_no_setting_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "capacity.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="TOML"):
        read_settings(path)


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        (Resource(), "--critical"),
        (Resource(warning=90, critical=80), "0 < warning < critical"),
        (RESOURCES["network"], "--full"),
        (RESOURCES["request_rate"], "--full"),
    ],
)
def test_an_unusable_resource_says_what_to_do(resource: Resource, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        usable("x", resource)


def test_what_was_forecast_is_read_back() -> None:
    record = _case(_line(50, 0.1)).forecast
    assert msgspec.json.decode(msgspec.json.encode(record), type=CapacityForecast) == record
