"""Sends what a sidecar decided: announcements, experiments, capacity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from offline.publish import headers_of, send
from offline.sidecar.keeper import Said
from offline.sidecar.refresh import Refreshed
from schemas.codec import codec_of
from schemas.topic import (
    CAPACITY_ALERT,
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    EXPERIMENT_RESULT,
    EXPERIMENT_STATE,
    Topic,
)
from streams.decision import log_decisions
from streams.message import Messages
from streams.model.announcer import Message, write_registry
from streams.settings import Settings

SOURCE: Final = "sidecar"


def publish_decisions(settings: Settings, said: Said, seen: Mapping[str, int]) -> None:
    """Send what a round decided, all of it or nothing; it is on the broker when this returns.

    An experiment's result comes before the state that follows from it, and both before announcements.

    Parameters
    ----------
    settings
        Where the broker is.
    said
        What was decided.
    seen
        Revisions of the models that it was decided about.

    Raises
    ------
    ConflictError
        When somebody else announced something of one of them meanwhile.
    InfraError
        When it cannot be delivered.
    """
    records: list[tuple[Topic, Any, str]] = [(EXPERIMENT_RESULT, one, one.experiment_id) for one in said.results]
    records += [(EXPERIMENT_STATE, one, one.experiment_id) for one in said.states]
    beside = [
        Message(
            settings.name_of(topic),
            key.encode(),
            msgspec.json.encode(one),
            one.timestamp,
            headers_of(topic, one, SOURCE),
        )
        for topic, one, key in records
    ]
    write_registry(settings, said.announcements, seen, beside)
    for (topic, _, _), one in zip(records, beside, strict=True):
        assert topic.record is not None
        log_decisions(topic, codec_of(topic.record), Messages.of([one.key], [one.value], [one.headers]))


def publish_capacity(settings: Settings, found: Refreshed) -> None:
    """Send a day's forecasts, plans and alerts.

    Raises
    ------
    InfraError
        When it cannot be delivered.
    """
    records: list[tuple[Topic, Any, str]] = [(CAPACITY_FORECAST, one, one.scope) for one in found.forecasts]
    records += [(CAPACITY_PLAN, one, one.scope) for one in found.plans]
    records += [(CAPACITY_ALERT, one, one.scope) for one in found.alerts]
    send(settings, records, SOURCE)
