"""What operators' words do to the thresholds, by type of anomaly.

Domain facts, section 5: a false positive multiplies the type's threshold by `1 + rate`; a
true one by `1 - rate / 2` when more than twice as many of its anomalies were true as
false. The factor on the threshold stays within bounds. The last words are remembered, so
that one given twice counts once, one that contradicts an earlier one replaces it, and
one can be taken back.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np

from online_models.anomaly.rule import TYPES
from online_models.slot import row_dtype
from schemas.feedback import AnomalyFeedback, anomaly_of, type_of

RATE: Final = 0.1
BOUNDS: Final = (0.5, 3.0)
"""Least and greatest factor on a threshold, so that no series of words turns a type off or floods anybody."""

REMEMBERED: Final = 512
"""Words that can be recognised and taken back."""

WORD: Final = row_dtype(("anomaly", "u8"), ("type", "i8"), ("moved", "f8"), ("false_positive", "i8"))
"""A word: hash of its anomaly (0: none), and by how much it moved the logarithm of the factor."""

_TRUE: Final = 0
_FALSE: Final = 1


class Change(NamedTuple):
    """What a word did to a type's factor."""

    type: int
    before: float
    after: float
    reason: str


class Thresholds:
    """A factor per type on the thresholds, moved by feedback.

    Parameters
    ----------
    rate
        How far one word moves a factor, 0..1.

    Examples
    --------
    >>> thresholds = Thresholds()
    >>> word = AnomalyFeedback(True, "dwcp.system.raw.v1/1/243:system.anomaly.latency_spike")
    >>> thresholds.judge(word).reason, round(float(thresholds.factor[0]), 3)
    ('false positive', 1.1)
    >>> thresholds.judge(word).reason
    'said before'
    """

    def __init__(self, rate: float = RATE) -> None:
        self._rate = rate
        self.factor = np.ones(len(TYPES))
        self.count = np.zeros((len(TYPES), 2), np.int64)
        """Anomalies called true and false, `[type, 2]`."""
        self.words = np.zeros(REMEMBERED, WORD)
        self.next = np.zeros(1, np.int64)

    def judge(self, feedback: AnomalyFeedback) -> Change:
        """Take a word on one anomaly in.

        Raises
        ------
        ValidationError
            When it names no anomaly.
        """
        anomaly = _hash(anomaly_of(feedback))
        known = np.flatnonzero(self.words["anomaly"] == anomaly)
        if not len(known):
            kind = TYPES.index(type_of(feedback))
            before = float(self.factor[kind])
            reason = "nothing to take back" if feedback.undo else self._count(anomaly, kind, feedback.false_positive)
            return Change(kind, before, float(self.factor[kind]), reason)
        word = self.words[int(known[0])]
        kind = int(word["type"])
        before = float(self.factor[kind])
        if feedback.undo:
            self._take_back(int(known[0]))
            reason = "taken back"
        elif bool(word["false_positive"]) == feedback.false_positive:
            reason = "said before"
        else:
            self._take_back(int(known[0]))
            reason = f"{self._count(anomaly, kind, feedback.false_positive)}, after the opposite"
        return Change(kind, before, float(self.factor[kind]), reason)

    def discovery_rate(self) -> tuple[float, float]:
        """False-discovery rate: anomalies called false, of those judged."""
        return float(self.count[:, _FALSE].sum()), float(self.count.sum())

    def _count(self, anomaly: int, kind: int, false_positive: bool) -> str:
        self.count[kind, _FALSE if false_positive else _TRUE] += 1
        true, false = self.count[kind].tolist()
        step, reason = 0.0, f"true, and {true} true against {false} false call for no change"
        if false_positive:
            step, reason = math.log1p(self._rate), "false positive"
        elif true > 2 * false:
            step, reason = math.log1p(-0.5 * self._rate), f"true, as {true} were against {false} false"
        moved = self._move(kind, step)
        if abs(moved) < abs(step):
            reason += f"; kept within {BOUNDS[0]:g}..{BOUNDS[1]:g}"
        at = int(self.next[0])
        self.words[at] = (anomaly, kind, moved, false_positive)
        self.next[0] = (at + 1) % REMEMBERED
        return reason

    def _take_back(self, at: int) -> None:
        word = self.words[at]
        kind = int(word["type"])
        self._move(kind, -float(word["moved"]))
        self.count[kind, _FALSE if word["false_positive"] else _TRUE] -= 1
        self.words[at] = np.zeros((), WORD)

    def _move(self, kind: int, step: float) -> float:
        """Multiply a factor by `exp(step)`, within the bounds; by how much its logarithm moved."""
        before = float(self.factor[kind])
        after = min(max(before * math.exp(step), BOUNDS[0]), BOUNDS[1])
        self.factor[kind] = after
        return step if after == before * math.exp(step) else math.log(after / before)


def _hash(anomaly: str | tuple[str, int]) -> int:
    text = anomaly if isinstance(anomaly, str) else f"{anomaly[0]}@{anomaly[1]}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") or 1
