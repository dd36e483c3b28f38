"""Logs as one JSON object per line, for machines that gather them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from streams.settings import Settings


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, and `error` with the traceback where there is one.

    >>> made = logging.LogRecord("streams.store", logging.INFO, "", 0, "%d restored", (3,), None)
    >>> made.created = 0.25
    >>> print(JsonFormatter().format(made))
    {"time": "1970-01-01T00:00:00.250Z", "level": "info", "logger": "streams.store", "message": "3 restored"}
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line; what cannot be written as JSON is written as text."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def logging_config(settings: Settings) -> dict[str, Any] | None:
    """What Faust configures logging with; None for its own lines of text."""
    if settings.log_format == "text":
        return None
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
    }
