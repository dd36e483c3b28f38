"""What happens in a scenario is said as it happens, and kept."""

from __future__ import annotations

from itertools import count

import pytest

from streams.demo.timeline import Timeline, described
from tests.online_models.stream import START_MS


def test_what_happens_is_said_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    ticks = count(100.0, 0.5)
    timeline = Timeline(lambda: next(ticks))
    timeline.note("start", "the worker")
    timeline.note("drift", "another codec", START_MS)
    timeline.note("drift", "and back", START_MS + 1)
    assert timeline.count("drift") == 2
    assert [(one["wall_s"], one["event_ms"]) for one in described(timeline)] == [
        (0.5, None), (1.0, START_MS), (1.5, START_MS + 1),
    ]  # fmt: skip
    said = capsys.readouterr()
    assert said.out == ""
    assert next(line.split()[2:] for line in said.err.splitlines()) == ["start", "the", "worker"]
    assert "another codec" in said.err
