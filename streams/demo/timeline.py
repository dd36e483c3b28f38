"""What happened in a scenario, when: said as it happens, kept for the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import asdict


class Happened(Struct, frozen=True):
    """One thing that happened.

    Parameters
    ----------
    event_ms
        Event time, UTC epoch ms; None before there is any.
    wall_s
        Seconds since the scenario began.
    what
        One word for it.
    detail
        In words.
    """

    event_ms: int | None
    wall_s: float
    what: str
    detail: str


class Timeline:
    """The course of a scenario.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.happened: list[Happened] = []
        self._clock = clock
        self._began = clock()

    @property
    def wall_s(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    def note(self, what: str, detail: str = "", event_ms: int | None = None) -> None:
        """Keep it, and say it on stderr."""
        one = Happened(event_ms, round(self.wall_s, 1), what, detail)
        self.happened.append(one)
        at = "" if event_ms is None else datetime.fromtimestamp(event_ms / 1000, UTC).strftime("%b %d %H:%M:%S")
        click.echo(f"{one.wall_s:7.1f} s  {at:15}  {what:<14} {detail}", err=True)

    def count(self, what: str) -> int:
        """How often it happened."""
        return sum(one.what == what for one in self.happened)


def described(timeline: Timeline) -> list[dict[str, Any]]:
    """The time line for a JSON document."""
    return [asdict(one) for one in timeline.happened]
