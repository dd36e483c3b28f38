"""Settings that reach the states of a worker's agents."""

from __future__ import annotations

import pytest

from agents import network, system
from streams.agent import with_settings
from streams.settings import Settings

GIVEN = Settings.from_environment({
    "DWCP_FALSE_ALARMS_PER_NODE_DAY": "0.25", "DWCP_FALSE_ALARMS_PER_LINK_DAY": "3", "DWCP_FEEDBACK_RATE": "0.3",
})  # fmt: skip


@pytest.mark.parametrize(
    ("agent", "part", "budget"), [(system.agent, "anomalies", 0.25), (network.agent, "watch", 3.0)]
)
def test_a_worker_watches_with_the_budget_and_rate_it_was_given(agent, part: str, budget: float) -> None:
    state = with_settings(agent, GIVEN).state().parts[part]
    assert state._alarms_per_day == budget
    assert state._thresholds._rate == 0.3


@pytest.mark.parametrize("agent", [system.agent, network.agent])
def test_every_setting_that_an_agent_wants_exists_and_defaults_change_nothing(agent) -> None:
    assert set(agent.settings) <= set(Settings.__slots__)
    plain = with_settings(agent, Settings.from_environment({}))
    assert plain.state().digest() == agent.state().digest()
    assert list(plain.models) == list(agent.models)


def test_a_worker_looks_as_far_ahead_as_it_was_asked() -> None:
    asked = Settings.from_environment({"DWCP_HORIZONS": "1min,60min"})
    parts = list(with_settings(network.agent, asked).state().parts)
    plain = list(network.agent.state().parts)
    assert parts == [*plain, "horizon.1min", "horizon.60min"]
