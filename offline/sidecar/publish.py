"""Sends what a sidecar decided: announcements, experiments, capacity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from offline.sidecar.keeper import Said
from offline.sidecar.refresh import Refreshed
from schemas import header
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
from streams.model.registry import write_registry
from streams.settings import Settings
from streams.sink import KafkaSink


def publish_decisions(settings: Settings, said: Said) -> None:
    """Send what a round decided; it is on the broker when this returns.

    An experiment's result comes before the state that follows from it, and both before announcements:
    a worker that knows the state without the announcement serves what it served.

    Raises
    ------
    InfraError
        When it cannot be delivered.
    """
    records: list[tuple[Topic, Any, str]] = [(EXPERIMENT_RESULT, one, one.experiment_id) for one in said.results]
    records += [(EXPERIMENT_STATE, one, one.experiment_id) for one in said.states]
    _send(settings, records)
    if said.announcements:
        write_registry(settings, said.announcements)


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
    _send(settings, records)


def _send(settings: Settings, records: Sequence[tuple[Topic, Any, str]]) -> None:
    if not records:
        return
    sink = KafkaSink(settings.bootstrap)
    sent = []
    for topic, record, key in records:
        assert topic.record is not None
        headers = [
            (header.CONTENT_TYPE, header.JSON),
            (header.CE_SPECVERSION, b"1.0"),
            (header.CE_ID, record.id.encode()),
            (header.CE_SOURCE, b"/dwcp-streams/sidecar"),
            (header.CE_TYPE, topic.name.encode()),
        ]
        body = msgspec.json.encode(record)
        sink.send(settings.name_of(topic), [key.encode()], [body], [record.timestamp], [headers])
        sent.append((topic, codec_of(topic.record), Messages.of([key.encode()], [body], [headers])))
    sink.close()
    for one in sent:
        log_decisions(*one)
