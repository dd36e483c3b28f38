"""Known events are taken out of the past and put where they come again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.capacity.command import outlook_of
from offline.capacity.event import Event, lift, read_events, without_events
from offline.capacity.history import DAY_MS, HOUR_MS, History
from schemas.error import ConfigError

DAYS = 90
SALES = [Event("sale", day * DAY_MS, (day + 1) * DAY_MS) for day in (20, 50, 80, 100)]


@pytest.fixture
def history() -> History:
    """50 with noise; 30 more on the days of a sale."""
    value = 50 + np.random.default_rng(0).normal(0, 1, 24 * DAYS)
    for day in (20, 50, 80):
        value[24 * day : 24 * (day + 1)] += 30.0
    return History(0, HOUR_MS, value)


def test_what_an_event_added_comes_again(history: History) -> None:
    added = lift(history, without_events(history, SALES), SALES, 30 * 24)
    assert added[24 * 10 : 24 * 11] == pytest.approx(np.full(24, 30 * 3 / 4), abs=1.5)
    assert not added[: 24 * 10].any()
    assert not added[24 * 11 :].any()


def test_a_first_occurrence_adds_nothing(history: History) -> None:
    events = [Event("move", 95 * DAY_MS, 96 * DAY_MS)]
    assert not lift(history, without_events(history, events), events, 30 * 24).any()


def test_the_forecast_knows_the_event(history: History) -> None:
    outlook = outlook_of(history, 30 * DAY_MS, SALES)
    daily = outlook.predicted.mean(axis=1)
    assert daily[10] > 65
    assert np.delete(daily, 10) == pytest.approx(np.full(29, 50.0), abs=2.0)


@pytest.mark.parametrize(("start", "end"), [(-50, -40), (200, 201), (-5, 30)])
def test_events_may_lie_anywhere(history: History, start: int, end: int) -> None:
    event = [Event("x", start * DAY_MS, end * DAY_MS)]
    quiet = without_events(history, event)
    assert np.isfinite(lift(history, quiet, event, 240)).all()


def test_events_must_leave_a_history(history: History) -> None:
    with pytest.raises(ConfigError, match="leave 100 points, not 0"):
        without_events(history, [Event("always", -DAY_MS, 300 * DAY_MS)])


def test_events_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("name,start,end\nxmas,2024-12-24,2024-12-27\nsale,2024-11-29T08:00:00Z,\n")
    first, second = read_events(path)
    assert (first.name, first.end_ms - first.start_ms) == ("xmas", 3 * DAY_MS)
    assert second.end_ms - second.start_ms == DAY_MS


@pytest.mark.parametrize(
    "text", ["name,start,end\nx,2024-12-27,2024-12-24\n", "name,start\nx,soon\n", "what,when\nx,2024-12-27\n"]
)
def test_what_is_no_event_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match="columns name, start"):
        read_events(path)
