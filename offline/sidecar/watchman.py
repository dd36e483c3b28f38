"""The champion in windows of live answers: when it has to go at once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from offline.sidecar.join import Answered
from online_models.experiment.link_sum import LinkLevels
from online_models.experiment.rollback import Breach, Limits, Watch, Window, watch
from schemas.model import ModelAnnouncement


class _Captured(Struct, frozen=True):
    version: str
    reachable: float
    since_ms: int
    watch: Watch
    window: Window
    links: list[bytes]
    values: list[float]
    levels: bytes


class Watchman:
    """Watches one champion: its accuracy, its failures, and what transfers got.

    Accuracy is held against what the version reached when it was judged. How long an answer took is on no
    topic: a candidate that is slow is refused by its gates and by workers.

    Parameters
    ----------
    limits
        What a champion must keep to.
    window_ms
        Length of a window.
    base_ms
        For how long throughput is held against what was before the champion.
    captured
        What `capture` gave.
    """

    def __init__(self, limits: Limits, window_ms: int, base_ms: int, captured: bytes = b"") -> None:
        self._limits = limits
        self._window_ms = window_ms
        self._base_ms = base_ms
        self.version = ""
        self._reachable = 1.0
        self._since_ms = 0
        self._watch = Watch()
        self._window = Window(until_ms=0)
        self._links: list[bytes] = []
        self._values: list[float] = []
        self._levels = LinkLevels()
        self.accuracy = float("nan")
        if captured:
            known = msgspec.msgpack.decode(captured, type=_Captured)
            self.version, self._reachable, self._since_ms = known.version, known.reachable, known.since_ms
            self._watch, self._window = known.watch, known.window
            self._links, self._values = known.links, known.values
            self._levels.load(known.levels)

    def follow(self, champion: ModelAnnouncement | None, now_ms: int) -> None:
        """Watch this champion from now on; what links had until now is what it is held against."""
        version = champion.model_version if champion is not None else ""
        if version == self.version:
            return
        reached = champion.metrics.get("accuracy", 1.0) if champion is not None else 1.0
        self.version, self._reachable, self._since_ms = version, min(max(reached, 0.0), 1.0), now_ms
        self._watch = replace(self._watch, beyond=(0, 0, 0, 0))
        self._open(now_ms)

    def add(self, answers: Sequence[Answered]) -> None:
        """Count answers: the champion's own, and those that it failed to give."""
        if not self.version:
            self._learn(answers)
            return
        own, failed = [], 0
        for one in answers:
            said = one.prediction
            if said.model_version == self.version and not said.fallback:
                own.append(one)
            elif said.fallback_reason == "model_error" and said.experiment_arm != "treatment":
                failed += 1
        flags = np.zeros(len(own) + failed, np.bool_)
        flags[len(own) :] = True
        self._window = self._window.with_answers(np.zeros(len(flags)), flags, self._limits)
        right = np.array([one.prediction.algorithm == one.truth for one in own if one.truth], np.bool_)
        self._window = self._window.with_labels(right)
        self._links += [one.link for one in own]
        self._values += _levels(own).tolist()

    def look(self, now_ms: int) -> Breach | None:
        """What to take the champion back for, once its window is over."""
        if not self.version or now_ms < self._window.until_ms:
            return None
        window = self._window
        if now_ms < self._since_ms + self._base_ms:
            window = window.with_lifts(self._levels.lifts(self._links, np.array(self._values)))
        else:  # it is established: the next one is held against it
            self._levels.add(self._links, np.array(self._values))
        if window.labels:
            self.accuracy = 1.0 - window.wrong / window.labels
        self._watch, breach = watch(self._watch, window, replace(self._limits, reachable=self._reachable))
        self._open(now_ms)
        return breach

    def capture(self) -> bytes:
        """Everything, for a restart."""
        found = _Captured(
            self.version, self._reachable, self._since_ms, self._watch, self._window, self._links, self._values,
            self._levels.capture(),
        )  # fmt: skip
        return msgspec.msgpack.encode(found)

    def _open(self, now_ms: int) -> None:
        self._window = Window(until_ms=now_ms + self._window_ms)
        self._links, self._values = [], []

    def _learn(self, answers: Sequence[Answered]) -> None:
        self._levels.add([one.link for one in answers], _levels(answers))


def _levels(answers: Sequence[Answered]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Logarithm of throughput as a share of what the link had; NaN where not measured."""
    rate = np.array([one.throughput_mbps for one in answers], np.float64)
    bandwidth = np.array([one.bandwidth_mbps for one in answers], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = np.log(rate / bandwidth)
    return np.where(np.isfinite(level), level, np.nan)
