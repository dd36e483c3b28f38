"""Which training is due, the one under way, and what became of it: announced, or missed and tried again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from offline.sidecar.archive import HOUR_MS, Archive
from offline.sidecar.candidate import announce_trained
from offline.sidecar.checkpoint import Checkpoint
from offline.sidecar.keeper import WHO
from offline.sidecar.options import Options
from offline.sidecar.schedule import Due, asked_by
from offline.sidecar.training import SOURCE, Done, Training, export
from schemas.drift import DriftAlert
from schemas.error import DwcpError
from schemas.topic import Topic
from streams.model.announcer import change_registry
from streams.model.stage import By
from streams.model.store import ModelStore
from streams.settings import Settings

_log = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000
_KEPT: Final = 5


class Trainer:
    """The trainings of a sidecar, one at a time.

    Parameters
    ----------
    settings
        Where registry and store are.
    options
        When to train, on how much, and how.
    folder
        For data, artifacts and logs.

    Attributes
    ----------
    trained
        When each model was trained last, UTC epoch ms.
    asked, asked_at
        Trainings that drift asked for: why, and the event time of the alert.
    """

    def __init__(self, settings: Settings, options: Options, folder: Path) -> None:
        self._settings = settings
        self._options = options
        self._folder = folder
        self._running: Training | None = None
        self._newest: dict[Topic, int] = {}
        self._tried: dict[str, int] = {}
        self.trained: dict[str, int] = {}
        self.asked: dict[str, str] = {}
        self.asked_at: dict[str, int] = {}

    def restore(self, known: Checkpoint) -> None:
        """Go on from a checkpoint; a training that runs goes on as well."""
        self.trained = dict(known.trained)
        self.asked = dict(known.asked)
        self.asked_at = dict(known.asked_at)

    @property
    def busy(self) -> bool:
        """Whether a training is under way."""
        return self._running is not None

    def see(self, newest: Mapping[Topic, int]) -> None:
        """Learn how far event time has come on some topics."""
        for topic, time_ms in newest.items():
            self._newest[topic] = max(self._newest.get(topic, 0), time_ms)

    def hear(self, alert: DriftAlert) -> None:
        """Take note of a drift alert."""
        if due := asked_by(alert):
            self.asked.setdefault(due.name, due.reason)
            self.asked_at.setdefault(due.name, alert.timestamp)

    def due(self, now_ms: int) -> list[Due]:
        """The trainings that should begin now, in this order."""
        return self._options.schedule.due(self.trained, self._ripe(now_ms), now_ms)

    def begin(self, due: Due, archive: Archive, now_ms: int) -> bool:
        """Begin a training on what the archive has; False while that is nothing."""
        self._folder.mkdir(exist_ok=True)
        since_ms = self.asked_at.get(due.name, 0) if due.name in self.asked else 0
        data = export(archive, due.name, self._options.days * _DAY_MS, self._folder, since_ms)
        if data is None:
            return False
        _log.warning("training %s: %s", due.name, due.reason)
        out = self._folder / f"{due.name}-{now_ms}"
        self._running = Training(due.name, due.reason, data, out, self._options.train.get(due.name, ()))
        return True

    def end(self, now_ms: int) -> Done | None:
        """What became of the training under way, announced where it passed; None while it runs."""
        done = self._running.poll() if self._running else None
        if done is None:
            return None
        self._running = None
        done = done._replace(missed=done.missed or self._announce(done, now_ms))
        self._tried[done.name] = now_ms
        if done.missed:
            _log.error("training %s came to nothing: %s", done.name, done.missed)
        # What drift asked for and came to nothing is tried again after the gap, on more of the new world.
        if not done.missed or done.reason != self.asked.get(done.name):
            self.asked.pop(done.name, None)
            self.asked_at.pop(done.name, None)
            failed_ms = self._options.schedule.after_failure(done.name, now_ms)
            self.trained[done.name] = failed_ms if done.missed else now_ms
        for old in sorted(done.out.parent.glob(f"{done.name}-*[0-9]"))[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
            old.with_suffix(".log").unlink(missing_ok=True)
        return done

    def stop(self) -> None:
        """End what runs; it is not noted as done, so it begins again."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def _ripe(self, now_ms: int) -> dict[str, str]:
        """Trainings asked for by drift that there is enough of the new world for by now."""
        wait_ms = round(self._options.drift_hours * HOUR_MS)
        return {
            name: reason for name, reason in self.asked.items()
            if self._newest.get(SOURCE[name], 0) >= self.asked_at.get(name, 0) + wait_ms
            and now_ms - self._tried.get(name, 0) >= self._options.schedule.gap_ms
        }  # fmt: skip

    def _announce(self, done: Done, now_ms: int) -> str:
        """Announce what was trained; why not, if so."""
        try:
            store = ModelStore(self._settings.model_store)
            by = By(WHO, now_ms, f"trained: {done.reason}")
            change_registry(self._settings, lambda known: [announce_trained(known, store, done.out, by)])
        except DwcpError as exc:
            return str(exc)
        return ""
