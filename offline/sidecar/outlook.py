"""Capacity, forecast anew when it is time, in a process of its own; what it found is published."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from offline.sidecar.child import Child
from offline.sidecar.options import Options
from offline.sidecar.publish import publish_capacity
from offline.sidecar.refresh import read_refreshed
from schemas.error import InfraError
from streams.settings import Settings

_BEFORE: Final = "capacity.json"


class Outlook:
    """The forecasts of a sidecar, one at a time.

    Parameters
    ----------
    settings
        Where the broker is.
    options
        Whether, how often, and of what.
    folder
        Of the sidecar.

    Attributes
    ----------
    refreshed_ms
        When the last one ended, UTC epoch ms.
    """

    def __init__(self, settings: Settings, options: Options, folder: Path) -> None:
        self._settings = settings
        self._options = options
        self._folder = folder
        self._child: Child | None = None
        self.refreshed_ms = 0

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self._child is not None

    def advance(self, now_ms: int, ready: bool) -> bool:
        """Begin one if it is due and the data are ready, or end the one under way; whether one was published.

        Raises
        ------
        InfraError
            When it failed, or cannot be published; it is tried again when the next one is due.
        """
        if self._child is None:
            every_ms = self._options.capacity_s * 1000
            if self._options.capacity and now_ms - self.refreshed_ms >= every_ms and ready:
                self._begin()
            return False
        code = self._child.code()
        if code is None:
            return False
        said, self._child = self._child.last_words(), None
        self.refreshed_ms = now_ms
        if code:
            raise InfraError(f"the forecast of capacity ended with exit code {code}: {said}")
        found = read_refreshed(self._out)
        if found is not None:
            publish_capacity(self._settings, found)
            self._out.replace(self._folder / _BEFORE)
        return found is not None

    def stop(self) -> None:
        """End the one under way; it is not noted as done."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def _out(self) -> Path:
        return self._folder / f".{_BEFORE}.part"

    def _begin(self) -> None:
        self._out.unlink(missing_ok=True)
        scopes = "nodes" if self._options.each_node else "all"
        topics, before = self._folder / "topics", self._folder / _BEFORE
        arguments = ["offline.sidecar.refresh", str(topics), str(before), str(self._out), scopes]
        self._child = Child(arguments, self._folder / "capacity.log")
