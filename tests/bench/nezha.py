"""Faults injected into the pods of a microservice shop: which are found in three minutes, and typed right.

A pod is watched by its own metrics beside the latencies that its callers see. Half of a
day's faults fall into its first 15 %, so there are two ways to train: on that first part, or
(`clean`) on what follows the last fault, put before the rest. A fault in a pod's first minutes, before the detector has
any past, is counted as `early`; alarms that follow a fault of another pod, which calls this one or is called, apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from offline.backtest.anomaly import Watched, alarms_of, metrics_of, scattered, watch
from offline.series import Series, read_series
from online_models.anomaly.detector import ALARMS_PER_DAY, SETTLED
from online_models.anomaly.kind import kind_of
from streams.recording.column import parse_time

TYPES: Final = {
    "cpu_contention": "resource_exhaustion",
    "cpu_consumed": "resource_exhaustion",
    "network_delay": "latency_spike",
    "exception": "error_burst",
}
"""What an injected fault should be called."""

COUNTED: Final = ("injected", "early", "found", "typed")

_DRAWS: Final = 20
_SEED: Final = 1
_WITHIN_MS: Final = 180_000
_AFTERMATH_MS: Final = 480_000
_DAY_MS: Final = 86_400_000


class Fault(NamedTuple):
    """What was injected, and when."""

    time_ms: int
    kind: str


class Pod(NamedTuple):
    """A pod's series, the metrics in it, its faults, and when any pod had one."""

    series: Series
    metrics: tuple[str, ...]
    faults: list[Fault]
    any_ms: list[int]


def pods_of(folder: Path) -> Iterator[Pod]:
    """Pods of every day in the folder."""
    for day in sorted((folder / "rca_data").iterdir()):
        hours = json.loads(next(day.glob("*fault_list.json")).read_text())
        listed = [fault for hour in hours.values() for fault in hour]
        any_ms = [parse_time(fault["inject_time"]) for fault in listed]
        calls = read_series(day / "metric" / "source_50.csv", "time")
        for path in sorted((day / "metric").glob("*-*_metric.csv")):
            name = path.name.removesuffix("_metric.csv")
            faults = [
                Fault(parse_time(fault["inject_time"]), fault["inject_type"])
                for fault in listed
                if fault["inject_pod"] == name
            ]
            series = _with_callers(read_series(path, "Time"), calls, name.split("-")[0])
            yield Pod(series, metrics_of(series, None), faults, any_ms)


def faults_of(pods: Sequence[Pod], clean: bool) -> dict[str, Any]:
    """Injected, early, found and typed faults by kind, by chance, and alarms that follow no fault of their pod."""
    counts = {kind: Counter(dict.fromkeys(COUNTED, 0)) for kind in TYPES}
    chance: Counter[str] = Counter(found=0, typed=0)
    rng = np.random.default_rng(_SEED)
    false_alarms, elsewhere, days = 0, 0, 0.0
    for pod in pods:
        shift = _DAY_MS if clean else 0
        series, fraction = _rotated(pod) if clean else (pod.series, 0.15)
        watched = watch(series, pod.metrics, fraction, ALARMS_PER_DAY)
        faults = [Fault(fault.time_ms + shift, fault.kind) for fault in pod.faults]
        for kind, count in _counted(watched, faults).items():
            counts[kind].update(count)
        for _ in range(_DRAWS):
            placed = replace(watched, found=watched.found._replace(alert=scattered(watched.found.alert, rng)))
            for count in _counted(placed, faults).values():
                chance.update({name: count[name] for name in chance})
        begins = [parse_time(alarm.begin) for alarm in alarms_of(watched)]
        outside = [begin for begin in begins if not _follows(begin + shift, [fault.time_ms for fault in faults])]
        false_alarms += len(outside)
        elsewhere += sum(_follows(begin, pod.any_ms) for begin in outside)
        days += float(series.time_ms[-1] - series.time_ms[0]) / _DAY_MS
    return {
        "all": {name: sum(count[name] for count in counts.values()) for name in COUNTED},
        "random": {name: round(total / _DRAWS, 1) for name, total in chance.items()},
        **{kind: dict(count) for kind, count in counts.items()},
        "false_alarms_per_pod_day": round(false_alarms / days, 2),
        "of_these_after_a_fault_of_another_pod": round(elsewhere / days, 2),
    }


def _counted(watched: Watched, faults: Sequence[Fault]) -> dict[str, Counter[str]]:
    """What became of a pod's faults, by kind."""
    counts: dict[str, Counter[str]] = {}
    for fault in faults:
        if fault.kind in TYPES:
            found, kind = _found(watched, fault)
            early = bool(fault.time_ms < watched.series.time_ms[SETTLED])
            came = (1, early, found, found and kind == TYPES[fault.kind])
            counts.setdefault(fault.kind, Counter()).update(dict(zip(COUNTED, map(int, came), strict=True)))
    return counts


def _follows(time_ms: int, faults_ms: Sequence[int]) -> bool:
    return any(0 <= time_ms - at <= _AFTERMATH_MS for at in faults_ms)


def _with_callers(series: Series, calls: Series, service: str) -> Series:
    at = np.clip(np.searchsorted(calls.time_ms, series.time_ms - 30_000), 0, len(calls) - 1)
    seen = {f"latency {name}": column[at] for name, column in calls.columns.items() if name.endswith(f"_{service}")}
    return replace(series, columns=series.columns | seen)


def _rotated(pod: Pod) -> tuple[Series, float]:
    """What follows the last fault first, then the rest a day later."""
    series = pod.series
    cut = int(np.searchsorted(series.time_ms, max(pod.any_ms) + 2 * _AFTERMATH_MS))
    order = np.r_[cut : len(series), :cut]
    time_ms = np.concatenate((series.time_ms[cut:], series.time_ms[:cut] + _DAY_MS))
    columns = {name: column[order] for name, column in series.columns.items()}
    return Series(time_ms, columns, [series.text[k] for k in order.tolist()]), 1 - cut / len(series)


def _found(watched: Watched, fault: Fault) -> tuple[bool, str]:
    """Whether a sample of the three minutes after the fault is alerted, and the type of the worst of them."""
    time_ms = watched.series.time_ms
    within = np.flatnonzero((time_ms > fault.time_ms) & (time_ms <= fault.time_ms + _WITHIN_MS))
    alerted = within[watched.found.alert[within]]
    if not len(alerted):
        return False, ""
    worst = alerted[np.argmax(watched.found.score[alerted])]
    return True, kind_of(watched.metrics, watched.found.deviation[worst], watched.values[worst])
