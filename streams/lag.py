"""What waits, by topic: in records, and in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from faust.types import TP

if TYPE_CHECKING:
    from streams.application import Application


class Lag:
    """How far an application is behind, on the topics that its agents read; 0 before it has started."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def records(self) -> dict[str, float]:
        """Records on the broker that are not committed."""
        return self._sums(lambda tp: self._app.consumer.lag(tp))

    def uncommitted(self) -> dict[str, float]:
        """Records read that are not committed."""
        return self._sums(lambda tp: self._app.consumer.tracker.uncommitted(tp))

    def seconds(self) -> dict[str, float]:
        """Age of the newest processed record, 0 where none waits."""
        app = self._app
        ages = dict.fromkeys(sorted(app.chunk_topics), 0.0)
        if app.started:
            now, newest = time.time(), app.metrics.newest_ms
            for tp in app.consumer.tracker.partitions():
                if tp in newest and app.consumer.lag(tp):
                    ages[tp.topic] = max(ages[tp.topic], now - newest[tp] / 1000)
        return ages

    def _sums(self, measure: Callable[[TP], int]) -> dict[str, float]:
        sums = dict.fromkeys(sorted(self._app.chunk_topics), 0.0)
        if self._app.started:
            for tp in self._app.consumer.tracker.partitions():
                sums[tp.topic] += measure(tp)
        return sums
