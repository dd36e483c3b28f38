"""Records are due when their timestamps say, on a clock that a test holds."""

from __future__ import annotations

import pytest

from streams.recording.format import Recorded
from streams.recording.replay import paced

START = 1_700_000_000_000


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def record(at_s: float, offset: int = 0) -> Recorded:
    return Recorded("t", 0, offset, START + round(1000 * at_s), None, b"")


def sent(times: list[float], speed: float | None) -> list[tuple[float, float]]:
    """When each record was sent, and when it was due, both in seconds of recorded time."""
    clock = Clock()
    found = []
    for batch in paced(map(record, times), speed, clock, clock.sleep):
        found += [((clock.now - 50) * (speed or 1), (r.timestamp_ms - START) / 1000) for r in batch]
    return found


@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0])
def test_records_are_sent_when_they_are_due(speed: float) -> None:
    times = [0, 0.001, 0.5, 0.5, 2, 2.004, 30, 30]
    at = sent(times, speed)
    assert [due for _, due in at] == times
    for when, due in at:
        assert 0 <= when - due + 1e-9 <= 0.011 * speed + 1e-9


def test_without_a_speed_nothing_waits() -> None:
    assert {when for when, _ in sent([0, 10, 1000], None)} == {0}


def test_a_record_from_before_its_predecessor_is_due_with_it() -> None:
    at = sent([0, 10, 4, 11], 1.0)
    assert [due for _, due in at] == [0, 10, 4, 11]
    assert at[2][0] == pytest.approx(10, abs=0.011)


def test_waiting_can_be_left() -> None:
    clock = Clock()
    waits = 0
    for batch in paced(map(record, [0, 3600]), 1.0, clock, clock.sleep):
        waits += not batch
        if waits == 3:
            break
    assert clock.now < 51


def test_a_long_recording_comes_in_batches() -> None:
    sizes = [len(batch) for batch in paced((record(0, i) for i in range(5001)), None)]
    assert sum(sizes) == 5001
    assert max(sizes) <= 2000
