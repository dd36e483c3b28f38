"""One pass of the generic detector over a series, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.backtest.event_score import EventScore, Flags, runs, score_events
from offline.backtest.volume import auc_pr, vus_pr
from offline.series import TIME_NAMES, Series
from online_models.anomaly.detector import Detector, Findings
from online_models.anomaly.kind import kind_of

LABEL_NAMES: Final = ("label", "labels", "anomaly", "is_anomaly", "anomalous")
"""Columns taken for labels when none is named, in any case; never seen by the detector."""

LEAST_TRAINING: Final = 24
"""Samples that the threshold is learned from at least."""

_DRAWS: Final = 20
_SEED: Final = 1
_ONSET: Final = 3


class Alarm(Struct, frozen=True):
    """One alert event; type, metric and value are those of the worst of its first three samples."""

    begin: str
    end: str
    score: float
    type: str
    metric: str
    value: float
    deviation: float
    in_training: bool


class Quality(Struct, frozen=True):
    """How alarms and scores met the labels, after the training part; no point adjustment."""

    events: int
    found: float
    recall: float | None
    alarms: float
    false_alarms: float
    false_alarms_per_day: float
    precision: float | None
    median_delay_s: float | None
    auc_pr: float | None
    vus_pr: float | None


@dataclass(frozen=True, slots=True)
class Watched:
    """A series and what the detector found in it.

    Parameters
    ----------
    series, metrics
        What was watched: the series, and its columns that are metrics.
    values
        The metrics, `[n, metric]`.
    trained
        Samples before the threshold was frozen.
    found
        By sample.
    threshold
        As frozen.
    seconds
        Time that the pass took.
    """

    series: Series
    metrics: tuple[str, ...]
    values: NDArray[np.float64]
    trained: int
    found: Findings
    threshold: float
    seconds: float

    @property
    def pushed(self) -> NDArray[np.intp]:
        """The metric that deviates most, by sample."""
        strongest: NDArray[np.intp] = np.abs(self.found.deviation).argmax(axis=1)
        return strongest


def metrics_of(series: Series, label: str | None) -> tuple[str, ...]:
    """Columns to watch: all but the labels and further time columns."""
    return tuple(name for name in series.columns if name != label and name.lower() not in TIME_NAMES)


def label_of(series: Series, label: str | None) -> str | None:
    """The label column: the one named, else one that is called so."""
    return label or next((name for name in series.columns if name.lower() in LABEL_NAMES), None)


def watch(series: Series, metrics: Sequence[str], train_fraction: float, alarms_per_day: float) -> Watched:
    """Run the detector over a series, freezing its threshold after the training part."""
    values = np.column_stack([series.columns[name] for name in metrics])
    trained = min(max(round(train_fraction * len(series)), LEAST_TRAINING), len(series))
    Detector(metrics, alarms_per_day).step(series.time_ms[:2], values[:2])  # compiles
    detector = Detector(metrics, alarms_per_day)
    began = time.perf_counter()
    first = detector.step(series.time_ms[:trained], values[:trained])
    detector.freeze()
    rest = detector.step(series.time_ms[trained:], values[trained:])
    seconds = time.perf_counter() - began
    found = Findings(*(np.concatenate(pair) for pair in zip(first, rest, strict=True)))
    return Watched(series, tuple(metrics), values, trained, found, detector.threshold, seconds)


def alarms_of(watched: Watched) -> list[Alarm]:
    """Every alert event, those of the training part included."""
    found = watched.found
    pushed = watched.pushed
    alarms = []
    for begin, end in runs(found.alert):
        at = begin + int(np.argmax(found.score[begin : min(end, begin + _ONSET)]))
        metric = int(pushed[at])
        alarms.append(
            Alarm(
                begin=watched.series.text[begin],
                end=watched.series.text[end - 1],
                score=round(float(found.score[begin:end].max()), 6),
                type=kind_of(watched.metrics, found.deviation[at], watched.values[at]),
                metric=watched.metrics[metric],
                value=float(watched.values[at, metric]),
                deviation=round(float(found.deviation[at, metric]), 3),
                in_training=begin < watched.trained,
            )
        )
    return alarms


def quality_of(watched: Watched, label: Flags) -> Quality:
    """Score what follows the training part against labels `[n]`."""
    rest = slice(watched.trained, None)
    score = score_events(watched.series.time_ms[rest], watched.found.alert[rest], label[rest])
    return _quality(score, *_areas(watched.found.score[rest], label[rest]))


def random_quality_of(watched: Watched, label: Flags) -> Quality:
    """What chance reaches: as many alerts of the same lengths at random places, and uniform scores; a mean of draws."""
    rng = np.random.default_rng(_SEED)
    rest = slice(watched.trained, None)
    time_ms, alert, truth = watched.series.time_ms[rest], watched.found.alert[rest], label[rest]
    scores = [score_events(time_ms, scattered(alert, rng), truth) for _ in range(_DRAWS)]
    areas = [_areas(rng.random(len(truth)), truth) for _ in range(3)]
    drawn = [_quality(score, None, None) for score in scores]
    chance: dict[str, Any] = {name: _mean([getattr(one, name) for one in drawn]) for name in Quality.__struct_fields__}
    auc, vus = (_mean(column) for column in zip(*areas, strict=True))
    chance |= {"events": scores[0].events, "auc_pr": auc, "vus_pr": vus}
    return Quality(**chance)


def scattered(alert: Flags, rng: np.random.Generator) -> Flags:
    """As many alerts of the same lengths at random places."""
    placed = np.zeros_like(alert)
    for begin, end in runs(alert):
        at = int(rng.integers(0, len(alert) - (end - begin) + 1))
        placed[at : at + end - begin] = True
    return placed


def _areas(score: NDArray[np.float64], label: Flags) -> tuple[float | None, float | None]:
    if not label.any():
        return None, None
    longest = int(np.median([end - begin for begin, end in runs(label)]))
    return auc_pr(score, label), vus_pr(score, label, longest)


def _quality(score: EventScore, auc: float | None, vus: float | None) -> Quality:
    return Quality(
        events=score.events,
        found=score.found,
        recall=score.recall,
        alarms=score.alarms,
        false_alarms=score.false_alarms,
        false_alarms_per_day=score.false_alarms_per_day,
        precision=score.precision,
        median_delay_s=score.median_delay_s,
        auc_pr=auc,
        vus_pr=vus,
    )


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
