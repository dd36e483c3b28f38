"""A worker that is restarted with other horizons: what stays goes on, what is new begins, nothing is rebuilt."""

from __future__ import annotations

import json

from confluent_kafka import Producer

from schemas.topic import NETWORK_FORECAST, NETWORK_HORIZON, NETWORK_HORIZON_SCORE, NETWORK_RAW, NETWORK_SCORE
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.e2e.conftest import Start
from tests.e2e.harness import QUICK, Found, read, read_until, sample

BEFORE, AFTER = 1000, 250
"""Twenty minutes of fifty links, and five more."""


def feed(settings: Settings, first: int, end: int) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    for i in range(first, end):
        producer.produce(NETWORK_RAW.name, sample(i), partition=0)
    producer.flush()


def suffixes(found: Found, first: int) -> set[str]:
    """Which horizons the ids of records from this raw offset on name."""
    ids = {i.decode() for origin, own in found.ids.items() if int(origin.rsplit(b"/")[-1]) >= first for i in own}
    return {one.rsplit(".", 1)[-1] for one in ids}


def made_before(found: Found, first: int) -> set[int]:
    """Horizons of scores, by samples from this raw offset on, of forecasts made of samples before it."""
    newest_ms = json.loads(sample(first - 1))["timestamp"]
    scores = [
        json.loads(value)
        for origin, values in found.values.items() if int(origin.rsplit(b"/")[-1]) >= first
        for value in values
    ]  # fmt: skip
    return {one["horizon_ms"] // 60_000 for one in scores if one["prediction_time"] <= newest_ms}


def test_a_restart_with_other_horizons_goes_on_where_it_stood(start: Start) -> None:
    with EmbeddedBroker() as embedded:
        settings = Settings.from_environment({"BROKER_URL": embedded.address})
        environment = {"BROKER_URL": embedded.address, **QUICK, "DWCP_SNAPSHOT_INTERVAL_S": "0.2"}
        feed(settings, 0, BEFORE)
        worker = start({**environment, "DWCP_HORIZONS": "1min,5min"}, app="app").wait_ready()
        assert suffixes(read_until(settings, BEFORE, (NETWORK_HORIZON,)), 0) == {"1min", "5min"}
        text = worker.get("/metrics")[1]
        assert 'dwcp_link_forecast_mae{horizon="1min",link_type="wan",target="rtt_ms"}' in text
        assert worker.stop() == 0
        feed(settings, BEFORE, BEFORE + AFTER)
        worker = start({**environment, "DWCP_HORIZONS": "5min,30min"}, app="app").wait_ready()
        found = read_until(settings, BEFORE + AFTER, (NETWORK_HORIZON,))
        assert suffixes(found, BEFORE) == {"5min", "30min"}
        assert len(read_until(settings, BEFORE + AFTER, (NETWORK_FORECAST,)).values) == BEFORE + AFTER
        assert made_before(read(settings, (NETWORK_HORIZON_SCORE,)), BEFORE) == {5}
        assert made_before(read(settings, (NETWORK_SCORE,)), BEFORE) == {15}
        assert "not usable" not in worker.tail(100_000)
        assert worker.stop() == 0
