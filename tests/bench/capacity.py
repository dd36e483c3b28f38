"""How early and how truly URGENT comes: simulated resources, some of which run out.

    PYTHONPATH=. python tests/bench/capacity.py --scopes 60 --json

Half of the scopes grow by .3 to 1.5 points a day until they are exhausted at 100 %; the others are
steady, wander, grow and level off below the critical level, step up once, or are bursty. All have a day, a week, noise
that lasts, outliers and gaps. Each is forecast daily from its 45th day on, as the sidecar would, until it is exhausted.
"""

from __future__ import annotations

import time
from typing import Final

import click
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.capacity.blend import look_ahead
from offline.capacity.history import DAY_MS, HOUR_MS, History
from offline.capacity.path import first_reached, reached_by, simulate
from schemas.capacity import THRESHOLDS, urgency_of

CRITICAL: Final = THRESHOLDS["storage"][1]
EXHAUSTED: Final = 100.0
FIRST_DAY: Final = 45
DAYS: Final = 140
KINDS: Final = ("grows", "grows faster", "steady", "wanders", "levels off", "steps up", "bursty")
_HORIZON: Final = 30
_LEAD_DAYS: Final = 14
URGENT_DAYS: Final = 7
"""Before the critical level is reached: the soonest that even an oracle says URGENT."""


Load = NDArray[np.float64]


class Found(Struct):
    """One scope: days of its crossing and exhaustion, None for never, and what was said of it day by day.

    `reached` is whether it reaches the level within the horizon, `seen` whether what is measured does, outliers and
    all: that is what the published probability is of.
    """

    kind: str
    critical_day: float | None
    exhausted_day: float | None
    days: list[int]
    urgent: list[bool]
    probability: list[float]
    reached: list[bool]
    seen: list[bool]
    seconds: float


def make_load(kind: str, rng: np.random.Generator, days: int = DAYS) -> tuple[Load, Load]:
    """A resource's hourly means in percent, `[24 * days]`: as it is, and as it is seen, with outliers and gaps."""
    t = np.arange(24 * days) / 24.0
    swing = rng.uniform(2.0, 10.0)
    value = swing * np.sin(2 * np.pi * (t - rng.random())) - rng.uniform(0.0, swing) * (t.astype(int) % 7 >= 5)
    noise = np.zeros(len(t))
    shock = rng.normal(0.0, rng.uniform(0.3, 1.5), len(t))
    for k in range(1, len(t)):
        noise[k] = 0.8 * noise[k - 1] + shock[k]
    value += noise
    match kind:
        case "grows":
            value += rng.uniform(30, 50) + rng.uniform(0.3, 0.7) * t
        case "grows faster":
            begin = rng.uniform(30, 60)
            value += rng.uniform(40, 55) + rng.uniform(0.7, 1.5) * np.maximum(t - begin, 0.0)
        case "steady":
            value += rng.uniform(30, 68)
        case "wanders":
            value += 50 + np.repeat(np.clip(np.cumsum(rng.normal(0, 0.6, days)), -12, 12), 24)
        case "levels off":
            value += 68 - 30 * np.exp(-t / rng.uniform(15, 40))
        case "steps up":
            value += 40 + rng.uniform(8, 22) * (t > rng.uniform(50, 100))
        case "bursty":
            value += 45 + np.where(rng.random(len(t)) < 0.01, rng.uniform(10, 50, len(t)), 0.0)
    usual = np.maximum(value, 0.0)
    seen = usual + 20.0 * (rng.random(len(t)) < 0.003)
    seen[rng.random(len(t)) < 0.01] = np.nan
    return usual, seen


def watch(kind: str, seed: int, every: int = 1) -> Found:
    """Forecast one scope day by day."""
    rng = np.random.default_rng(seed)
    usual, value = make_load(kind, rng)
    grows = kind.startswith("grows")
    day_peak = usual.reshape(DAYS, 24).max(axis=1)
    critical, exhausted = (_first(day_peak, level) if grows else None for level in (CRITICAL, EXHAUSTED))
    found = Found(kind, critical, exhausted, [], [], [], [], [], 0.0)
    last = min(int(exhausted), DAYS) if exhausted is not None else DAYS - _HORIZON
    started = time.perf_counter()
    for day in range(FIRST_DAY, last, every):
        history = History(0, HOUR_MS, value[: 24 * day])
        outlook = look_ahead(history, _HORIZON)
        at = first_reached(outlook.predicted.ravel(), reached_by(simulate(outlook), CRITICAL), CRITICAL)
        days = None if at is None else history.step_ms * (at + 1) / DAY_MS
        found.days.append(day)
        found.urgent.append(urgency_of(days) == "URGENT")
        found.probability.append(float(reached_by(simulate(outlook, bursts=True), CRITICAL)[-1]))
        ahead = slice(24 * day, 24 * (day + _HORIZON))
        for what, load in ((found.reached, usual), (found.seen, value)):
            what.append(bool((load[ahead] >= CRITICAL).any()))
    found.seconds = (time.perf_counter() - started) / max(len(found.days), 1)
    return found


def _first(peak: NDArray[np.float64], level: float) -> float | None:
    at = np.flatnonzero(peak >= level)
    return float(at[0]) if len(at) else None


def summarise(found: list[Found]) -> dict[str, object]:
    """How early, how truly, and whether probabilities mean what they say."""
    out = [f for f in found if f.exhausted_day is not None and f.exhausted_day > FIRST_DAY + _LEAD_DAYS]
    never = [f for f in found if not f.kind.startswith("grows")]
    urgent = [r for f in found for u, r in zip(f.urgent, f.reached, strict=True) if u]
    said = np.array([p for f in found for p in f.probability])
    was = np.array([r for f in found for r in f.seen])
    bands = [(0.0, 0.05), (0.05, 0.25), (0.25, 0.75), (0.75, 0.95), (0.95, 1.01)]
    return {
        "exhausted": {kind: _leads([f for f in out if f.kind == kind]) for kind in KINDS[:2]},
        "never_exhausted": len(never),
        "of_them_ever_urgent": float(np.mean([any(f.urgent) for f in never])),
        "urgent_days": len(urgent),
        "urgent_but_not_reached_in_30_days": float(1.0 - np.mean(urgent)) if urgent else 0.0,
        "brier": float(np.mean((said - was) ** 2)),
        "probability_said_and_was": [
            [float(said[m].mean()), float(was[m].mean()), int(m.sum())]
            for low, high in bands
            if (m := (said >= low) & (said < high)).any()
        ],
        "seconds_per_forecast": float(np.median([f.seconds for f in found])),
    }


def _leads(found: list[Found]) -> dict[str, float]:
    """How many days before their exhaustion scopes were URGENT first, and would be if the future were known."""
    days = []
    for one in found:
        end = one.exhausted_day or 0.0
        days.append(end - next((d for d, urgent in zip(one.days, one.urgent, strict=True) if urgent), end))
    if not days:
        return {"scopes": 0}
    known = np.array([(one.exhausted_day or 0.0) - (one.critical_day or 0.0) + URGENT_DAYS for one in found])
    lead = np.array(days)
    return {
        "scopes": len(days),
        "14_days_ahead": float(np.mean(lead >= _LEAD_DAYS)),
        "least_days": float(lead.min()),
        "median_days": float(np.median(lead)),
        "oracle_least_days": float(known.min()),
        "oracle_median_days": float(np.median(known)),
    }


@click.command()
@click.option("--scopes", type=click.IntRange(7), default=56, show_default=True, help="Simulated resources.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Days between forecasts.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the first scope.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(scopes: int, every: int, seed: int, as_json: bool) -> None:
    """Simulate resources, forecast them daily, and count."""
    growing = [KINDS[k % 2] for k in range(scopes // 2)]
    other = [KINDS[2 + k % (len(KINDS) - 2)] for k in range(scopes - len(growing))]
    found = []
    for k, kind in enumerate(growing + other):
        click.echo(f"\r{k + 1}/{scopes} {kind:<14}", err=True, nl=False)
        found.append(watch(kind, seed + k, every))
    click.echo(err=True)
    summary = summarise(found)
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        for name, value in summary.items():
            click.echo(f"{name:<36} {value}")


if __name__ == "__main__":
    main()
