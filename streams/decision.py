"""One log line per decision, at debug: what was decided, from which input, in whose trace.

The lines are JSON whatever the log's format is, and hold the record as it was
published. Nothing is built while nobody is shown them.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from schemas import header
from schemas.codec import Codec
from schemas.topic import (
    CAPACITY_ALERT,
    COMPRESSION_PREDICTION,
    DRIFT_ALERT,
    EXPERIMENT_RESULT,
    NETWORK_FORECAST,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_ROLLOUT,
    PERFORMANCE_PREDICTION,
    SYSTEM_ANOMALY,
    SYSTEM_THRESHOLD,
    Topic,
)
from streams.message import Messages
from streams.settings import Settings

LOGGER: Final = "dwcp.decision"
DEBUG: Final = "debug"

DECISIONS: Final = frozenset({
    COMPRESSION_PREDICTION, NETWORK_FORECAST, SYSTEM_ANOMALY, SYSTEM_THRESHOLD, DRIFT_ALERT, PERFORMANCE_PREDICTION,
    OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT, CAPACITY_ALERT, EXPERIMENT_RESULT,
})  # fmt: skip
"""Topics whose records say what was decided. A forecast has the AMST parameters, and whether to apply them."""

_TRACE_ID: Final = slice(3, 35)

_log = logging.getLogger(LOGGER)


def show_decisions(settings: Settings) -> None:
    """Show the lines at log level debug, and build no debug record of anybody's otherwise."""
    shown = settings.log_level == DEBUG
    # Debug records are built even where nobody sees them: 58 % more time per send.
    logging.disable(logging.NOTSET if shown else logging.DEBUG)
    _log.setLevel(logging.DEBUG if shown else logging.NOTSET)


def log_level(settings: Settings) -> str:
    """The least severe level of everybody else: what libraries say at debug is not about decisions."""
    return "info" if settings.log_level == DEBUG else settings.log_level


def log_decisions(
    topic: Topic,
    codec: Codec[Any],
    messages: Messages,
) -> None:
    """Log records that were handed to the producer, when their topic has decisions and debug is shown.

    Parameters
    ----------
    topic
        Where they go.
    codec
        What reads their values.
    messages
        They.
    """
    if topic not in DECISIONS or not _log.isEnabledFor(logging.DEBUG):
        return
    keys, values, headers = messages.keys, messages.values, messages.headers
    records, rejected = codec.decode(values)
    unread = {one.row for one in rejected}
    rows = [row for row in range(len(values)) if row not in unread]
    for row, record in zip(rows, records, strict=True):
        key, own = keys[row], headers[row]
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in own}
        fields = {
            "kind": topic.kind,
            "id": said.get(header.CE_ID),
            "origin": said.get(header.ORIGIN),
            "trace_id": said[header.TRACEPARENT][_TRACE_ID] if header.TRACEPARENT in said else None,
            "key": None if key is None else key.decode("utf-8", "replace"),
            "decision": msgspec.to_builtins(record),
        }
        _log.debug("%s", Fields({name: value for name, value in fields.items() if value is not None}))


class Fields(dict[str, Any]):
    """What a line says, by name; as text it is JSON."""

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()
