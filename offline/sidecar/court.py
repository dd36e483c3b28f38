"""A shadow against what is published: losses on the same labels, looked at now and then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from offline.sidecar.join import Answered
from online_models.experiment.link_sum import LossSums
from online_models.experiment.promotion import Decision, PromotionRule, decide
from schemas.field import LINK_TYPES

SURE: Final = 0.6
"""A model that is less sure does not decide: the same fallback answers in its place, so there is no difference."""


class _Captured(Struct, frozen=True):
    version: str
    due_ms: int
    labels: list[float]
    sums: bytes


class Court:
    """The losses of one shadow and of what was published beside it: 0 where right, 1 where wrong.

    Parameters
    ----------
    rule
        What is asked of it.
    look_every_ms
        Between looks.
    captured
        What `capture` gave.
    """

    def __init__(self, rule: PromotionRule, look_every_ms: int, captured: bytes = b"") -> None:
        self._rule = rule
        self._every_ms = look_every_ms
        self.version = ""
        self._due_ms = 0
        self._labels: list[float] = []
        self.sums = LossSums()
        if captured:
            known = msgspec.msgpack.decode(captured, type=_Captured)
            self.version, self._due_ms, self._labels = known.version, known.due_ms, known.labels
            self.sums.load(known.sums)

    def follow(self, version: str, now_ms: int) -> None:
        """Judge this shadow from now on; empty: none."""
        if version != self.version:
            self.version, self._due_ms = version, now_ms + self._every_ms
            self._labels, self.sums = [], LossSums()

    def add(self, answers: Sequence[Answered]) -> None:
        """Count what the shadow said of events whose truth is known."""
        own = [
            one for one in answers
            if one.truth and self.version and one.prediction.shadow_version == self.version
        ]  # fmt: skip
        if not own:
            return
        published = np.array([one.prediction.algorithm != one.truth for one in own], np.float64)
        said = [one.prediction.shadow_probability_amst for one in own]
        asked = np.array([0.5 if one is None else one for one in said])  # without an answer others decide
        amst = np.array([one.truth == "AMST" for one in own])
        sure = np.maximum(asked, 1.0 - asked) > SURE
        shadow = np.where(sure, (asked > 0.5) != amst, published)
        kind = np.array([LINK_TYPES.index(one.prediction.link_type) for one in own], np.int64)
        self.sums.add([one.link for one in own], kind, published, shadow.astype(np.float64))

    def look(self, now_ms: int) -> Decision | None:
        """The decision of the look that is due; None before it, and while nothing new is known."""
        labels = float(self.sums.labels)
        if not self.version or now_ms < self._due_ms or labels <= (self._labels[-1] if self._labels else 0.0):
            return None
        self._due_ms = now_ms + self._every_ms
        self._labels.append(labels)
        return decide(self._rule, self.sums.paired(), self._labels)

    def capture(self) -> bytes:
        """Everything, for a restart."""
        return msgspec.msgpack.encode(_Captured(self.version, self._due_ms, self._labels, self.sums.capture()))
