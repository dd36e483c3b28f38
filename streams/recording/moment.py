"""Points in time as users write them: `2026-01-05T12:00:00Z`, `now`, or `2h` for two hours ago."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any, Final

import click

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


class Moment(click.ParamType):
    """A point in time, as milliseconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds of a text; times without an offset are UTC."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        if text == "now":
            return time.time_ns() // 1_000_000
        if ago := _AGO.fullmatch(text):
            return int(time.time() * 1000 - float(ago[1]) * _SECONDS[ago[2]] * 1000)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is no time: give RFC 3339 (2026-01-05T12:00:00Z), now, or how long ago (90s, 15m, 2h, 7d)"
            )
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


MOMENT: Final = Moment()


def rfc3339(timestamp_ms: int) -> str:
    """A time as text, UTC.

    >>> rfc3339(1_700_000_000_500)
    '2023-11-14T22:13:20.500Z'
    """
    moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
