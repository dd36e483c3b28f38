"""When which model is trained: by plan, and when its inputs or errors have drifted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import Struct, field

from schemas.drift import DriftAlert

_DAY_MS: Final = 86_400_000
PERIOD_MS: Final[Mapping[str, int | None]] = {
    "daily": _DAY_MS, "weekly": 7 * _DAY_MS, "monthly": 30 * _DAY_MS, "never": None,
}  # fmt: skip

DEFAULT: Final[Mapping[str, str]] = {
    "selector": "monthly", "bandwidth": "monthly", "anomaly": "weekly", "performance": "monthly",
    "optimizer": "daily",
}  # fmt: skip
"""As documented: the optimizer daily, anomaly weekly, full trainings monthly. What learns online needs none."""

DRIFTING: Final[Mapping[str, str]] = {
    "utility": "selector", "selector": "selector", "forecaster": "bandwidth", "bandwidth": "bandwidth",
    "anomaly_baseline": "anomaly", "anomaly": "anomaly", "performance": "performance",
}  # fmt: skip
"""Whose training a drift alert of a model asks for."""


class Due(NamedTuple):
    """A training that is to begin now, and why."""

    name: str
    reason: str


class Schedule(Struct, frozen=True, kw_only=True):
    """The plan.

    Parameters
    ----------
    period
        By model: `daily`, `weekly`, `monthly`, or `never`.
    gap_ms
        Least time between a training and one for drift, or after one that came to nothing.
    """

    period: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT))
    gap_ms: int = 6 * 3_600_000

    def due(self, trained: Mapping[str, int], asked: Mapping[str, str], now_ms: int) -> list[Due]:
        """The trainings that should begin now, in this order: drift first.

        Parameters
        ----------
        trained
            When each was trained last, ms since the epoch.
        asked
            Trainings that drift asked for: model and reason.
        """
        found = {
            name: reason for name, reason in asked.items()
            if name in self.period and now_ms - trained.get(name, 0) >= self.gap_ms
        }  # fmt: skip
        for name, period in self.period.items():
            every = PERIOD_MS[period]
            if every is not None and now_ms - trained.get(name, 0) >= every:
                found.setdefault(name, period)
        return [Due(*one) for one in found.items()]

    def after_failure(self, name: str, now_ms: int) -> int:
        """What to note as the time of a training that failed, so that it is tried again after the gap."""
        return now_ms - max((PERIOD_MS[self.period[name]] or 0) - self.gap_ms, 0)


def asked_by(alert: DriftAlert) -> Due | None:
    """The training that an alert asks for; a warning asks for none."""
    name = DRIFTING.get(alert.model)
    if name is None or alert.level != "alert":
        return None
    return Due(name, f"drift of {alert.feature}: {alert.statistic} {alert.value:.3g} beyond {alert.threshold:.3g}")
