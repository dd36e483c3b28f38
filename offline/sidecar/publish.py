"""Sends what a sidecar decided: announcements, experiments, capacity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from offline.publish import Statement, log_written, message_of, send
from offline.sidecar.keeper import Said
from offline.sidecar.refresh import Refreshed
from schemas.topic import (
    CAPACITY_ALERT,
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    EXPERIMENT_RESULT,
    EXPERIMENT_STATE,
)
from streams.model.announcer import write_registry
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
    statements = [Statement(EXPERIMENT_RESULT, one, one.experiment_id) for one in said.results]
    statements += [Statement(EXPERIMENT_STATE, one, one.experiment_id) for one in said.states]
    beside = [message_of(settings, one, SOURCE) for one in statements]
    write_registry(settings, said.announcements, seen, beside)
    for statement, message in zip(statements, beside, strict=True):
        log_written(statement.topic, message)


def publish_capacity(settings: Settings, found: Refreshed) -> None:
    """Send a day's forecasts, plans and alerts.

    Raises
    ------
    InfraError
        When it cannot be delivered.
    """
    statements = [Statement(CAPACITY_FORECAST, one, one.scope) for one in found.forecasts]
    statements += [Statement(CAPACITY_PLAN, one, one.scope) for one in found.plans]
    statements += [Statement(CAPACITY_ALERT, one, one.scope) for one in found.alerts]
    send(settings, statements, SOURCE)
