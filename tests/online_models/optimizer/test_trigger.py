"""What makes the optimizer look again unasked, and that every change it makes is on record, before and after."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from online_models.optimizer.state import OptimizerState
from schemas.optimizer import PARAMETERS, SYSTEMS, OptimizerRecommendation, OptimizerRollout
from schemas.topic import OPTIMIZER_RECOMMENDATION
from tests.online_models.optimizer.fleet import asked, live, minute_of, records_of, request
from tests.online_models.stream import metrics_of

WATCHED = {"request_rate": 2800.0}


def rested() -> tuple[OptimizerState, int]:
    """A fleet whose first change was taken back, two hours later; and the next minute."""
    state = asked()
    list(live(state, range(70), 0.7))
    feed(state, range(70, 220))
    return state, 220


def feed(state: OptimizerState, minutes: range, **changed: float) -> list[OptimizerRecommendation]:
    """What is recommended while nodes report otherwise; in force is what was."""
    found: list[OptimizerRecommendation] = []
    for minute in minutes:
        batch = metrics_of([replace(one, **changed) for one in minute_of(minute, {})])
        found += records_of(state.step(batch), OPTIMIZER_RECOMMENDATION)
    return found


@pytest.mark.parametrize(
    ("trigger", "changed"),
    [
        ("performance", {"throughput_mean": 1800.0}),
        ("performance", {"prediction_accuracy": 60.0}),
        ("performance", {"consensus_time": 90.0}),
        ("traffic", {"request_rate": 5600.0}),
        ("traffic", {"request_rate": 1200.0}),
    ],
)
def test_what_falls_or_shifts_is_looked_at_unasked(trigger: str, changed: dict[str, float]) -> None:
    state, minute = rested()
    found = feed(state, range(minute, minute + 30), **changed)
    assert found
    assert (found[0].trigger, found[0].request_id) == (trigger, "")


@pytest.mark.parametrize(
    "changed",
    [{}, {"throughput_mean": 2800.0}, {"throughput_mean": 4200.0}, {"request_rate": 3200.0}],
    ids=["nothing", "a little worse", "better", "a little more traffic"],
)
def test_what_is_no_reason_is_none(changed: dict[str, float]) -> None:
    state, minute = rested()
    assert not feed(state, range(minute, minute + 90), **changed)


@pytest.mark.parametrize(("days", "again"), [(29, False), (31, True)])
def test_after_thirty_days_it_looks_again(days: int, again: bool) -> None:
    state, minute = rested()
    later = minute + days * 24 * 60
    # Nodes that were silent so long are new; it takes them half an hour to be known.
    found = feed(state, range(later, later + 45))
    assert [one.trigger for one in found] == (["age"] if again else [])


def test_a_changed_configuration_is_told_by_request() -> None:
    state, minute = rested()
    state.control(request("configuration", acp_batch_size=40.0))
    found = feed(state, range(minute, minute + 30))
    assert [one.trigger for one in found[:1]] == ["configuration"]
    assert all(change.before == 40.0 for change in found[0].changes if change.parameter == "acp_batch_size")


@pytest.mark.parametrize("factor", [1.5, 0.7])
def test_what_is_in_force_follows_from_the_records_alone(factor: float) -> None:
    """Requests and rollouts are the audit: each change says what it was before, and no change has none."""
    state = asked()
    own = [p.name for p in PARAMETERS]
    force = dict(zip(own, state._tuner["values"][0].tolist(), strict=True))
    now, changed = 0, 0
    for _ in range(3):
        for one in live(state, range(now, now + 170), factor):
            if not isinstance(one, OptimizerRollout):
                continue
            named: dict[str, Any] = {c.parameter: c for c in one.changes}
            assert named.keys() <= set(next(s for s in SYSTEMS.values() if named.keys() & set(s)))
            assert {name: c.before for name, c in named.items()} == {name: force[name] for name in named}
            assert all(c.minimum <= c.after <= c.maximum and c.after != c.before for c in named.values())
            if one.status == "completed":
                force |= {name: c.after for name, c in named.items()}
                changed += 1
        now += 170
        assert dict(zip(own, state._tuner["values"][0].tolist(), strict=True)) == force
        state.control(request(**force))
    assert changed > 0 if factor > 1.0 else changed == 0
