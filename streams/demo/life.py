"""What happens to models, as the topics tell it: announcements, rejections and drift alerts on a time line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.json import Decoder

from schemas.drift import DriftAlert
from schemas.model import ModelAnnouncement, ModelRejection
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    COMPRESSION_RAW,
    DEAD_LETTER,
    DRIFT_ALERT,
    LATE,
    MODEL_ANNOUNCEMENT,
    MODEL_REJECTION,
    Topic,
)
from streams.demo.course import MODEL, SelectorCourse
from streams.demo.stage import Stage
from streams.demo.timeline import Timeline

TOPICS: Final = (
    COMPRESSION_RAW, COMPRESSION_KEYED, COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT, MODEL_ANNOUNCEMENT,
    MODEL_REJECTION, DEAD_LETTER, LATE,
)  # fmt: skip

ROWS: Final = 7_000
"""Transfers before the first training."""

_KEEP: Final = ("compression.keyed", "compression.label", "compression.prediction", "drift.alert", "model.rejection")
SIDECAR: Final = (
    "--promote-by", "labels", "--round", "0.5", "--flush", "2", "--window", "8", "--look-every", "0.02",
    "--least-labels", "1500", "--gap", "0.4", "--drift-hours", "0.25", "--no-capacity",
    "--train", "bandwidth=never", "--train", "anomaly=never", "--train-option", "selector:--least-rows=3000",
    "--train-option", "selector:--candidate=boosting", "--train-option", "selector:--gates=better",
    *(part for kind in _KEEP for part in ("--keep", kind)),
)  # fmt: skip
"""A sidecar for which a minute is an hour: what it decides by is what it always is."""


class Life:
    """The selector's versions, and what was said about them.

    Parameters
    ----------
    stage
        Where it plays; its subscriber is opened here.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.course = SelectorCourse()
        self.stages: dict[str, ModelAnnouncement] = {}
        self.champions: list[str] = []
        self.rejections: list[ModelRejection] = []
        self.drifts: list[DriftAlert] = []
        self._announcement = Decoder(ModelAnnouncement).decode
        self._rejection = Decoder(ModelRejection).decode
        self._drift = Decoder(DriftAlert).decode
        stage.open(TOPICS, self._watch())
        stage.hears["ceiling"] = self.course.ceiling
        stage.progress = self._progress

    @property
    def timeline(self) -> Timeline:
        """Where it is noted."""
        return self._stage.timeline

    def raise_champion(self) -> str:
        """Feed, train, and wait until the first version decides; which it is."""
        stage, course = self._stage, self.course
        stage.watch(lambda: course.scored > ROWS, f"{ROWS} transfers to learn from")
        stage.start_sidecar(*SIDECAR)
        stage.watch(lambda: self.champions and course.decided.get(self.champions[-1]), "champion that decides")
        return self.champions[-1]

    def at(self, version: str) -> str:
        """Stage of a version; `held` where it was taken off."""
        one = self.stages.get(version)
        return "" if one is None else "held" if one.held else one.stage

    def _watch(self) -> Mapping[Topic, Callable[[bytes], object]]:
        return {
            COMPRESSION_LABEL: self.course.label,
            COMPRESSION_PREDICTION: self.course.prediction,
            MODEL_ANNOUNCEMENT: self._announced,
            MODEL_REJECTION: self._rejected,
            DRIFT_ALERT: self._drifted,
        }

    def _announced(self, value: bytes) -> None:
        one = self._announcement(value)
        version = one.model_version
        before, self.stages[version] = self.at(version), one
        if one.model_name != MODEL or self.at(version) == before:
            return
        if self.at(version) == "champion":
            self.champions.append(version)
        trained = ("retraining" if self.champions else "training") if one.announced_by == "sidecar" else "candidate"
        what = {"candidate": trained, "champion": "promotion", "held": "taken back"}
        said = what.get(self.at(version), self.at(version))
        self.timeline.note(said, f"{version}: {one.reason}", self.course.newest_ms or None)

    def _rejected(self, value: bytes) -> None:
        one = self._rejection(value)
        self.rejections.append(one)
        self.timeline.note("rejection", f"{one.model_version}: {one.reason}, {one.message}", self.course.newest_ms)

    def _drifted(self, value: bytes) -> None:
        one = self._drift(value)
        self.drifts.append(one)
        figures = f"{one.statistic} {one.value:.3g} beyond {one.threshold:.3g}"
        self.timeline.note(f"drift {one.level}", f"{one.model}, {one.feature}: {figures}", one.timestamp)

    def _progress(self) -> str:
        course = self.course
        lately = course.period(course.newest_ms - 5 * 60_000, float("inf"))
        accuracy = "-" if lately["accuracy"] is None else f"{100 * lately['accuracy']:.1f} %"
        return f"{self._stage.audit.events_in:,} transfers, accuracy of the last 5 min {accuracy}"
