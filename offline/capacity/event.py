"""Holidays and other known events: what they do is taken out of the past and put where they come again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offline.capacity.history import DAY_MS, LEAST_POINTS, History, fill
from schemas.error import ConfigError
from streams.recording.column import parse_time


@dataclass(frozen=True, slots=True)
class Event:
    """Something with a name that comes again.

    Parameters
    ----------
    name
        Events of one name are taken to do the same.
    start_ms, end_ms
        From when until when, UTC epoch milliseconds, the end excluded.
    """

    name: str
    start_ms: int
    end_ms: int


def read_events(path: Path) -> list[Event]:
    """Events of a CSV file with the columns `name`, `start` and, for those that are not one day, `end`.

    Raises
    ------
    ConfigError
        When the file cannot be read; it names the line.
    """
    found = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            for row in reader:
                start = parse_time(row["start"])
                end = parse_time(row["end"]) if row.get("end") else start + DAY_MS
                if end <= start:
                    raise ValueError("it ends before it begins")
                found.append(Event(row["name"].strip(), start, end))
    except (OSError, KeyError, ValueError, AttributeError, csv.Error) as exc:
        said = "a CSV file with the columns name, start and, if you like, end"
        line = f":{reader.line_num}" if isinstance(exc, ValueError | AttributeError) else ""
        raise ConfigError("--events", f"{path}{line}", f"{said} ({exc})") from exc
    return found


def without_events(history: History, events: Sequence[Event]) -> History:
    """The history with nothing known while events lasted.

    Raises
    ------
    ConfigError
        When fewer than 100 points are left.
    """
    value = history.value.copy()
    for event in events:
        value[_steps(history, event)] = np.nan
    quiet = replace(history, value=value)
    if events and quiet.points < LEAST_POINTS:
        raise ConfigError("--events", len(events), f"events that leave {LEAST_POINTS} points, not {quiet.points}")
    return quiet


def lift(history: History, quiet: History, events: Sequence[Event], steps: int) -> NDArray[np.float64]:
    """What events add to the steps ahead, `[steps]`.

    An event adds the median of what it added before, drawn towards 0 by what one more occurrence would weigh:
    a first one adds nothing.

    Parameters
    ----------
    history
        The past, with events.
    quiet
        The same without, see `without_events`.
    """
    filled = fill(quiet).ravel()
    first = len(history) - len(filled)
    added = np.zeros(steps)
    for name in {event.name for event in events}:
        same = [event for event in events if event.name == name]
        was = []
        for event in same:
            at = _steps(history, event)
            span = slice(max(at.start, first), at.stop)
            off = history.value[span] - filled[span.start - first : span.stop - first]
            if len(off := off[np.isfinite(off)]):
                was.append(float(off.mean()))
        if was:
            effect = float(np.median(was)) * len(was) / (len(was) + 1)
            for event in same:
                added[_steps(history, event, len(history), steps)] += effect
    return added


def _steps(history: History, event: Event, first: int = 0, many: int | None = None) -> slice:
    """The steps that lie in an event, counted from `first`."""
    many = len(history) if many is None else many
    begin, end = (-((history.first_ms - at) // history.step_ms) - first for at in (event.start_ms, event.end_ms))
    return slice(min(max(begin, 0), many), min(max(end, 0), many))
