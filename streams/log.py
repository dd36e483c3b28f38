"""How logs look: text, or one JSON object per line for machines that gather them; decisions are JSON always."""

from __future__ import annotations

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any, Final

from streams.decision import DEBUG, LOGGER, Fields, log_level, show_decisions
from streams.settings import Settings

_TEXT: Final = "%(asctime)s %(levelname)s %(message)s"


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, and `error` with the traceback where there is one.

    A decision's line has its fields as well (`streams.decision`).

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
        }
        if isinstance(record.args, Fields):
            line |= {"message": record.args["kind"], **record.args}
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def logging_config(settings: Settings) -> dict[str, Any] | None:
    """What Faust configures logging with; None for its own lines of text."""
    stderr = {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"json": stderr},
    }
    if settings.log_format == "json":
        return config | {"root": {"level": log_level(settings).upper(), "handlers": ["json"]}}
    if settings.log_level == DEBUG:
        # Faust's own handler leaves out what is below its level, so decisions have one of their own.
        decisions = {"level": "DEBUG", "handlers": ["json"], "propagate": False}
        return config | {"merge": True, "loggers": {LOGGER: decisions}}
    return None


def configure_logging(settings: Settings) -> None:
    """Logging of a process that is no Faust worker."""
    config = logging_config(settings)
    if settings.log_format == "text":
        logging.basicConfig(level=log_level(settings).upper(), format=_TEXT)
    if config is not None:
        config.pop("merge", None)
        logging.config.dictConfig(config)
    show_decisions(settings)
