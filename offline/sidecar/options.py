"""How a sidecar works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from offline.sidecar.archive import ARCHIVED
from offline.sidecar.keeper import Rules
from offline.sidecar.schedule import Schedule
from schemas.topic import MODEL_REJECTION, Topic

TOPICS: Final = (*ARCHIVED, MODEL_REJECTION)
"""What it reads."""


class Options(Struct, frozen=True, kw_only=True):
    """How a sidecar works.

    Parameters
    ----------
    flush_s, flush_rows
        A checkpoint is made after so long, or so many rows; what is not in one is in memory.
    round_s
        Between decisions.
    days
        Of event time that a training learns from.
    drift_hours
        Of event time since the alert that a training for drift waits for; it learns from these, because what was
        before teaches the old world.
    schedule
        Of trainings.
    train
        More options of `dwcp train NAME`, by name.
    rules
        What decides about versions.
    capacity
        Whether capacity is forecast.
    capacity_s
        Between forecasts.
    each_node
        Whether each node is forecast as well, beside all of them together.
    keep
        Topics that are kept; the others are not read. What trainings and decisions need must be among them.
    """

    flush_s: float = 60.0
    flush_rows: int = 100_000
    round_s: float = 10.0
    days: int = 30
    drift_hours: float = 24.0
    schedule: Schedule = Schedule()
    train: Mapping[str, Sequence[str]] = {}
    rules: Rules = Rules()
    capacity: bool = True
    capacity_s: float = 86_400.0
    each_node: bool = False
    keep: Sequence[Topic] = TOPICS
