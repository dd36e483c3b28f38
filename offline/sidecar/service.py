"""The sidecar itself: reads, keeps, decides, trains; survives what fails.

Everything that it knows is one checkpoint. When anything goes wrong that is not one part's own
trouble, it begins again from the last one: what it read since is read again, and was counted nowhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from offline.sidecar.archive import Archive
from offline.sidecar.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from offline.sidecar.forecast_trial import ForecastTrial
from offline.sidecar.intake import Intake
from offline.sidecar.keeper import MODEL, Keeper, Said
from offline.sidecar.metric import Metrics
from offline.sidecar.mirror import make_mirror
from offline.sidecar.options import TOPICS, Options
from offline.sidecar.outlook import Outlook
from offline.sidecar.publish import publish_decisions
from offline.sidecar.trainer import Trainer
from schemas.error import ConflictError, DwcpError, InfraError
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    DRIFT_ALERT,
    MODEL_REJECTION,
    NETWORK_SCORE,
)
from streams.model.announcer import revisions_of
from streams.model.registry import read_registry
from streams.recording.format import Recorded
from streams.recording.log import Log, Place, Span
from streams.settings import Settings

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 2.0
_PIECE: Final = 5_000
_TRIES: Final = 3
_FAILURES: Final = "failures"


class Sidecar:
    """One sidecar.

    Parameters
    ----------
    settings
        Where the broker, the store and the data are.
    options
        How it works.
    metrics
        What is counted.

    Raises
    ------
    StateError
        When its checkpoint is damaged.
    InfraError
        When its folder cannot be used.
    """

    def __init__(self, settings: Settings, options: Options, metrics: Metrics) -> None:
        self._settings = settings
        self._options = options
        self._metrics = metrics
        self._folder = Path(settings.sidecar_data)
        self._topics = {settings.name_of(topic): topic for topic in TOPICS if topic in options.keep}
        self.trainer = Trainer(settings, options, self._folder / "trainings")
        self.counted: dict[str, int] = {}
        self._number = 0
        self._committed = self._decided = 0.0
        self._ends: dict[Place, int] = {}
        self._outlook = Outlook(settings, options, self._folder)
        self._restore()
        self._mirror = make_mirror(settings, self._archive, self._number, metrics)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Follow the topics until stopped; what fails is logged, counted and tried again."""
        if self._mirror is not None:
            self._mirror.start()
        while not stopped():
            try:
                self._follow(stopped)
            except Exception as exc:  # whatever it is, the data set goes on from the last checkpoint
                self._failed("stream", exc)
                _pause(_PAUSE_S, stopped)
                self._restore()
        self.close()

    def once(self, stopped: Callable[[], bool]) -> None:
        """Read to the present end of the topics, decide, train what is due, and end.

        Raises
        ------
        DwcpError
            When the topics cannot be read or the data not be written.
        """
        with self._log() as log:
            self._take_all(log.read(stopped))
        self.commit()
        self._train(_now_ms())
        while self.trainer.busy and not stopped():
            time.sleep(0.05)
            self._train(_now_ms())
        self._every(_now_ms())
        while self._outlook.busy and not stopped():
            self._guarded("capacity", lambda: self._refresh(_now_ms()))
            time.sleep(0.05)
        self.close()
        if self._mirror is not None:
            self._mirror.once()

    def close(self) -> None:
        """End what runs, and write what is not written."""
        self.trainer.stop()
        self._outlook.stop()
        self.commit()
        if self._mirror is not None:
            self._mirror.stop()

    def take(self, records: Sequence[Recorded], now_ms: int) -> None:
        """Take records in, in the order of their partitions."""
        if not records:
            return
        for record in records:
            self._offsets.setdefault(record.topic, {})[record.partition] = record.offset + 1
            self._metrics.records.labels(record.topic).inc()
        taken = self._intake.take(records)
        self._report()
        for topic, found in taken.items():
            if topic is not MODEL_REJECTION:
                self._archive.add(topic, found.records, found.origins)
                self.trainer.see({topic: max((one.timestamp for one in found.records), default=0)})
        self._metrics.behind_s.set(max(now_ms - records[-1].timestamp_ms, 0) / 1000)
        for alert in taken[DRIFT_ALERT].records if DRIFT_ALERT in taken else ():
            self._count(f"drift {alert.model} {alert.level}")
            self.trainer.hear(alert)
        pairs = (COMPRESSION_PREDICTION, COMPRESSION_LABEL, COMPRESSION_KEYED, MODEL_REJECTION)
        columns = [taken[topic].records if topic in taken else () for topic in pairs]
        try:
            self.keeper.add(now_ms, *columns)
            self.forecasts.add(taken[NETWORK_SCORE].records if NETWORK_SCORE in taken else (), now_ms)
        except Exception as exc:  # a bad batch costs the comparison some labels, and the data set nothing
            self._failed("keeper", exc)

    def commit(self) -> None:
        """Write what is buffered, and the checkpoint that makes it count.

        Raises
        ------
        InfraError
            When it cannot be written.
        """
        number = self._number + 1
        self._torn = True  # until it is whole, there are files of no checkpoint
        written = self._archive.write(number)
        rows = sum(one.rows for one in written)
        self._count("rows", rows)
        checkpoint = Checkpoint(
            number=number, offsets=self._offsets, recent=self._intake.capture(), trained=self.trainer.trained,
            asked=self.trainer.asked, asked_at=self.trainer.asked_at, refreshed_ms=self._outlook.refreshed_ms,
            keeper=self.keeper.capture(), forecasts=self.forecasts.capture(), counted=self.counted,
        )  # fmt: skip
        write_checkpoint(self._folder, checkpoint)
        self._number = number
        self._torn = False
        self._committed = time.monotonic()
        self._metrics.rows.inc(rows)
        self._metrics.committed.set(time.time())
        if self._mirror is not None:
            self._mirror.add(written)

    def decide(self, now_ms: int) -> Said:
        """One round of the life cycle, published; nothing of it has happened when that fails.

        When somebody else announces meanwhile, it is decided anew, by what that one said.
        """
        before = self.keeper.capture(), self.forecasts.capture()
        for last in range(_TRIES, 0, -1):
            known = read_registry(self._settings)
            try:
                said = self.keeper.round(known.catalogue, now_ms)
                if self._options.rules.promote_by != "hand":
                    said += self.forecasts.round(known.catalogue, now_ms)
                decided = {MODEL, *(one.model_name for one in said.announcements)}
                publish_decisions(self._settings, said, revisions_of(known, *decided))
                break
            except Exception as exc:
                self._load(*before)
                if last == 1 or not isinstance(exc, ConflictError):
                    raise
        for one in said.announcements:
            _log.warning("%s %s is %s: %s", one.model_name, one.model_version, one.stage, one.reason)
            self._metrics.announcements.labels(one.model_name, one.stage).inc()
            self._count(f"announced {'held' if one.held else one.stage}")
        self._metrics.accuracy.set(self.keeper.watchman.accuracy)
        if said.announcements or said.states:
            self.commit()
        return said

    def _restore(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise InfraError(f"cannot use {self._folder}: {exc.strerror}; set DWCP_SIDECAR_DATA") from exc
        known = read_checkpoint(self._folder)
        self._archive: Archive = Archive(self._folder / "topics")
        self._archive.recover(known.number)
        self._number = known.number
        self._offsets: dict[str, dict[int, int]] = {name: dict(found) for name, found in known.offsets.items()}
        self._intake: Intake = Intake(self._topics, known.recent)
        self.trainer.restore(known)
        self._outlook.refreshed_ms = known.refreshed_ms
        self._load(known.keeper, known.forecasts)
        failures = {name: n for name, n in self.counted.items() if name.startswith(_FAILURES)}
        self.counted = dict(known.counted) | failures  # they are no part of what is read again
        self._committed = time.monotonic()
        self._decided = 0.0
        self._torn = False

    def _load(self, keeper: bytes, forecasts: bytes) -> None:
        rules = self._options.rules
        self.keeper, self.forecasts = Keeper(rules, keeper), ForecastTrial(rules.winner, forecasts)

    def _log(self) -> Log:
        """The topics from where the last checkpoint left them; what is gone by now is passed over."""
        log = Log(self._settings, list(self._topics))
        for place, span in log.spans.items():
            resume = self._offsets.get(place.topic, {}).get(place.partition, span.first)
            # Beyond the end: the topic was made anew.
            log.spans[place] = Span(min(max(resume, span.first), span.end) if resume <= span.end else 0, span.end)
        return log

    def _follow(self, stopped: Callable[[], bool]) -> None:
        with self._log() as log:
            self._ends = {place: span.end for place, span in log.spans.items() if span.end > span.first}
            log.spans = {place: Span(span.first, span.first) for place, span in log.spans.items()}
            buffer: list[Recorded] = []
            for record in log.follow(stopped):
                if record is not None:
                    buffer.append(record)
                    if len(buffer) < _PIECE:
                        continue
                self._advance(buffer)
                buffer = []

    def _take_all(self, records: Iterable[Recorded]) -> None:
        buffer: list[Recorded] = []
        for record in records:
            buffer.append(record)
            if len(buffer) == _PIECE:
                self.take(buffer, _now_ms())
                buffer = []
                if self._archive.buffered > self._options.flush_rows:
                    self.commit()
        self.take(buffer, _now_ms())

    def _advance(self, records: Sequence[Recorded]) -> None:
        now_ms = _now_ms()
        self.take(records, now_ms)
        self._metrics.buffered.set(self._archive.buffered)
        due = time.monotonic() - self._committed >= self._options.flush_s
        if due or self._archive.buffered >= self._options.flush_rows:
            self.commit()
        if time.monotonic() - self._decided >= self._options.round_s:
            self._decided = time.monotonic()
            self._guarded("training", lambda: self._train(now_ms))
            self._every(now_ms)
        if self._torn:
            raise InfraError("a checkpoint was not written to its end: what came since the last one is read again")

    def _every(self, now_ms: int) -> None:
        """What is done in every round; each part's failure is its own."""
        self._guarded("decision", lambda: self.decide(now_ms))
        self._guarded("capacity", lambda: self._refresh(now_ms))
        self._guarded("retention", lambda: self._metrics.expired.inc(self._archive.expire(now_ms)))

    def _train(self, now_ms: int) -> None:
        """Note what became of a training, and begin the next one that is due."""
        if (done := self.trainer.end(now_ms)) is not None:
            outcome = "missed" if done.missed else "announced"
            self._metrics.trainings.labels(done.name, outcome).inc()
            self._count(f"trainings {outcome}")
            self.commit()
        if self.trainer.busy or not self._caught_up():
            return
        if due := self.trainer.due(now_ms):
            self.commit()  # what came is to be learned from
            for one in due:  # one that has nothing to learn from does not keep the others from it
                if self.trainer.begin(one, self._archive, now_ms):
                    break

    def _caught_up(self) -> bool:
        """Whether everything was read that was there at the beginning: less is not worth a training."""
        self._ends = {
            place: end for place, end in self._ends.items()
            if self._offsets.get(place.topic, {}).get(place.partition, 0) < end
        }  # fmt: skip
        return not self._ends

    def _refresh(self, now_ms: int) -> None:
        if self._outlook.advance(now_ms, self._caught_up()):
            self._count("capacity")

    def _report(self) -> None:
        """Count what was left out of the last records."""
        self._metrics.repeated.inc(self._intake.repeated)
        for reason, n in self._intake.rejected.items():
            self._metrics.rejected.labels(reason).inc(n)
        self._count("repeated", self._intake.repeated)
        self._count("rejected", self._intake.rejected.total())
        self._intake.rejected.clear()
        self._intake.repeated = 0

    def _guarded(self, part: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as exc:  # one part's trouble stops no other
            self._failed(part, exc)

    def _failed(self, part: str, exc: Exception) -> None:
        self._metrics.failures.labels(part).inc()
        self._count(f"{_FAILURES} {part}")
        _log.error("%s failed and is tried again: %s", part, exc, exc_info=not isinstance(exc, DwcpError))

    def _count(self, name: str, by: int = 1) -> None:
        self.counted[name] = self.counted.get(name, 0) + by


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopped():
        time.sleep(0.05)
