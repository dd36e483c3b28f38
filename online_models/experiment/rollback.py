"""When a model is taken back at once: it is too often wrong, too slow, fails, or transfers got slower.

Windows of live answers follow each other. One window that is beyond a limit for certain acts at
once; one that is beyond it by what could be chance needs company: `patience` of them without a good
one between. What transfers got varies more than shares do, by nobody's fault: there only a window counts that is beyond
the limit with some certainty (`doubt`). Between a limit and its recovery nothing is counted and nothing forgotten
(hysteresis). After a rollback nothing acts for `hold_off_ms`, because what follows needs time to show.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.special import bdtrc

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

Trigger = Literal["accuracy", "latency", "error", "throughput"]
TRIGGERS: Final[tuple[Trigger, ...]] = ("accuracy", "latency", "error", "throughput")


class Limits(Struct, frozen=True, kw_only=True):
    """What a champion must keep to.

    Parameters
    ----------
    accuracy
        Least share of right decisions, of what is reachable.
    reachable
        What the best model could reach on these data (its ceiling, in the artifact's metrics); 1
        makes `accuracy` an absolute limit.
    slow_ms, slow
        At most a share `slow` of answers may take longer than `slow_ms`: the 99th percentile is below it.
    error
        Most failed answers, as a share.
    throughput
        Least mean log-ratio of throughput to what the links had before.
    certainty
        Probability with which one window alone acts on chance.
    doubt
        Chance above which a window that is beyond the limit of throughput counts for nothing.
    patience
        Windows beyond a limit, without a good one between, that act together.
    recovery
        How far inside a limit, as a share of it, a window is good again.
    least
        Answers or labels without which a window says nothing of them.
    least_links
        The same of links, for throughput.
    hold_off_ms
        For how long nothing acts after a rollback.
    """

    accuracy: float = 0.95
    reachable: float = 1.0
    slow_ms: float = 2.0
    slow: float = 0.01
    error: float = 0.001
    throughput: float = math.log(0.98)
    certainty: float = 1e-4
    doubt: float = 0.01
    patience: int = 3
    recovery: float = 0.1
    least: int = 200
    least_links: int = 20
    hold_off_ms: int = 30 * 60_000


class Window(Struct, frozen=True, kw_only=True):
    """What was seen in one window; times end it.

    `lift_total` and `lift_square` are the sum, and sum of squares, of `links` log-ratios: each link's mean
    throughput to what it had before (`online_models.experiment.link_sum.LinkLevels`). One of each link, because
    transfers of one link are slow together.
    """

    until_ms: int
    answers: int = 0
    slow: int = 0
    errors: int = 0
    labels: int = 0
    wrong: int = 0
    links: int = 0
    lift_total: float = 0.0
    lift_square: float = 0.0

    def with_answers(self, took_ms: Values, failed: Flags, limits: Limits) -> Window:
        """The window with more answers: how long each took, and whether it failed, `[n]`."""
        return replace(
            self,
            answers=self.answers + len(took_ms),
            slow=self.slow + int(np.count_nonzero(took_ms > limits.slow_ms)),
            errors=self.errors + int(np.count_nonzero(failed)),
        )

    def with_labels(self, right: Flags) -> Window:
        """The window with more labels: whether each decision was right, `[n]`."""
        return replace(self, labels=self.labels + len(right), wrong=self.wrong + int(np.count_nonzero(~right)))

    def with_lifts(self, lifts: Values) -> Window:
        """The window with the lifts of its links, `[g]`, once all its transfers are known."""
        return replace(self, links=len(lifts), lift_total=float(lifts.sum()), lift_square=float(lifts @ lifts))


class Watch(Struct, frozen=True):
    """What is remembered between windows: for each of `TRIGGERS` how many were beyond its limit."""

    beyond: tuple[int, int, int, int] = (0, 0, 0, 0)
    quiet_until_ms: int = 0


class Breach(NamedTuple):
    """Why to roll back."""

    trigger: Trigger
    value: float
    limit: float
    certain: bool

    def __str__(self) -> str:
        how = "in one window, for certain" if self.certain else "in window after window"
        return f"{self.trigger} {self.value:.4g} beyond {self.limit:.4g} {how}"


class _Reading(NamedTuple):
    """One trigger in one window: larger is worse."""

    value: float
    limit: float
    certain: bool
    counts: bool
    good: bool


def watch(state: Watch, window: Window, limits: Limits) -> tuple[Watch, Breach | None]:
    """Take a window in; what to roll back for, if anything.

    After a breach the count begins anew, and holds off.
    """
    readings = [_read(trigger, window, limits) for trigger in TRIGGERS]
    beyond = tuple(_counted(count, reading) for count, reading in zip(state.beyond, readings, strict=True))
    state = replace(state, beyond=beyond)
    if window.until_ms < state.quiet_until_ms:
        return state, None
    for trigger, count, reading in zip(TRIGGERS, beyond, readings, strict=True):
        if reading is None or not reading.counts:
            continue
        if reading.certain or count >= limits.patience:
            breach = Breach(trigger, *_shown(trigger, reading, limits), reading.certain)
            return Watch(quiet_until_ms=window.until_ms + limits.hold_off_ms), breach
    return state, None


def _counted(count: int, reading: _Reading | None) -> int:
    if reading is None:
        return count
    if reading.counts:
        return count + 1
    return 0 if reading.good else count


def _read(trigger: Trigger, window: Window, limits: Limits) -> _Reading | None:
    if trigger == "accuracy":
        return _share(window.wrong, window.labels, 1.0 - limits.accuracy * limits.reachable, limits)
    if trigger == "latency":
        return _share(window.slow, window.answers, limits.slow, limits)
    if trigger == "error":
        return _share(window.errors, window.answers, limits.error, limits)
    return _loss(window, limits)


def _share(hits: int, n: int, limit: float, limits: Limits) -> _Reading | None:
    """A share against its limit; certain by the exact binomial tail at the limit."""
    if n < limits.least:
        return None
    chance = float(bdtrc(hits - 1, n, limit)) if hits else 1.0
    value = hits / n
    good = value <= limit * (1.0 - limits.recovery)
    return _Reading(value, limit, chance < limits.certainty, value > limit, good)


def _loss(window: Window, limits: Limits) -> _Reading | None:
    """Loss of throughput against its limit."""
    n = window.links
    if n < max(limits.least_links, 2):
        return None
    value = -window.lift_total / n
    variance = max(window.lift_square / n - value * value, 0.0) * n / (n - 1)
    limit = -limits.throughput
    chance = 0.5 * math.erfc((value - limit) / math.sqrt(2.0 * variance / n)) if variance else float(value <= limit)
    good = value <= limit * (1.0 - limits.recovery)
    return _Reading(value, limit, chance < limits.certainty, chance < limits.doubt, good)


def _shown(trigger: Trigger, reading: _Reading, limits: Limits) -> tuple[float, float]:
    """Value and limit as the contract states them."""
    if trigger == "accuracy":
        return 1.0 - reading.value, 1.0 - reading.limit
    if trigger == "throughput":
        return math.expm1(-reading.value), math.expm1(limits.throughput)
    return reading.value, reading.limit
