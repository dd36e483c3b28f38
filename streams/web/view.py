"""What the live page shows, kept in memory: bounded, and made of output records alone.

No Kafka and no clock here: records go in, documents come out. One thread writes while
another reads, so everything happens under a lock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec

from schemas.capacity import CapacityForecast
from schemas.compression import OracleLabel, SelectorPrediction
from schemas.network import Forecast, ForecastScore, NetworkSample
from schemas.system import Anomaly
from schemas.topic import (
    CAPACITY_ALERT,
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    DRIFT_ALERT,
    EXPERIMENT_RESULT,
    EXPERIMENT_STATE,
    MODEL_ANNOUNCEMENT,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_SCORE,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_REQUEST,
    OPTIMIZER_ROLLOUT,
    SYSTEM_ANOMALY,
    Topic,
)

FREQUENT: Final = (NETWORK_KEYED, NETWORK_FORECAST, NETWORK_SCORE, COMPRESSION_PREDICTION, COMPRESSION_LABEL)
"""Topics that are left out for a while when there is too much of them."""

RARE: Final = (
    SYSTEM_ANOMALY, DRIFT_ALERT, MODEL_ANNOUNCEMENT, EXPERIMENT_STATE, EXPERIMENT_RESULT, CAPACITY_FORECAST,
    CAPACITY_PLAN, CAPACITY_ALERT, OPTIMIZER_REQUEST, OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT,
)  # fmt: skip
"""Topics whose latest records are kept."""

_LINKS: Final = 64
_POINTS: Final = 240
_KEPT: Final = 100
_DECISIONS: Final = 1000
_WINDOW: Final = 500
_RECORDS: Final = 8000
_DRIFTS: Final = 500
_RESOURCES: Final = 200
_DAYS: Final = 60
_DAY_MS: Final = 86_400_000
_SPACING_MS: Final = 5000


class Seen(NamedTuple):
    """A record, and where it is on the broker."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str
    value: Any


class View:
    """The latest of everything; sizes are fixed, so memory is bounded."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._forecasts: OrderedDict[str, deque[tuple[Any, ...]]] = OrderedDict()
        self._actual: dict[str, deque[tuple[Any, ...]]] = {}
        self._scored: dict[str, deque[ForecastScore]] = {}
        self._rare: dict[str, deque[Any]] = {
            topic.kind: deque(maxlen=_DRIFTS if topic is DRIFT_ALERT else _KEPT) for topic in RARE
        }
        self._capacity: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._decided: OrderedDict[str, SelectorPrediction] = OrderedDict()
        self._labels: OrderedDict[str, OracleLabel] = OrderedDict()
        self._scores: deque[tuple[bool, bool, bool, float, float]] = deque(maxlen=_WINDOW)
        self._selector: deque[tuple[Any, ...]] = deque(maxlen=_POINTS)
        self._found: OrderedDict[str, Seen] = OrderedDict()
        self._counts: dict[str, int] = {topic.kind: 0 for topic in (*FREQUENT, *RARE)}
        self.skipped = 0
        """Records that were left out because there were too many."""

    def take(self, topic: Topic, records: Iterable[tuple[Any, Seen]]) -> None:
        """Take records of one topic in, each with where it is."""
        with self._lock:
            for record, seen in records:
                self._counts[topic.kind] += 1
                _keep(self._found, getattr(record, "id", ""), seen, _RECORDS)
                match record:
                    case NetworkSample():
                        if link := self._link(record.node_id, record.peer_id):
                            self._actual[link].append((record.timestamp, record.throughput_mbps))
                    case Forecast():
                        self._take_forecast(record)
                    case ForecastScore():
                        if link := self._link(record.node_id, record.peer_id):
                            self._scored[link].append(record)
                    case CapacityForecast():
                        _keep(self._capacity, f"{record.scope} {record.resource}", _by_day(record), _RESOURCES)
                    case SelectorPrediction():
                        _keep(self._decided, record.event_id, record, _DECISIONS)
                        self._score(record.event_id)
                    case OracleLabel():
                        _keep(self._labels, record.event_id, record, _DECISIONS)
                        self._score(record.event_id)
                    case _:
                        self._rare[topic.kind].append(record)

    def document(self, link: str = "") -> dict[str, Any]:
        """Everything but the forecasts of other links; without one, those of the link there is most of."""
        with self._lock:
            chosen = link if link in self._forecasts else self._fullest()
            return {
                "counts": dict(self._counts),
                "skipped": self.skipped,
                "links": sorted(self._forecasts),
                "link": chosen,
                "forecast": [list(point[:-1]) for point in self._forecasts.get(chosen, ())],
                "actual": [list(point) for point in self._actual.get(chosen, ())],
                "residual": self._residuals(chosen),
                "selector": [list(point) for point in self._selector],
                "capacity": list(self._capacity.values()),
                **{
                    kind.replace(".", "_"): _plain(map(_short, reversed(kept)))
                    for kind, kept in self._rare.items()
                    if kind != CAPACITY_FORECAST.kind
                },
            }

    def fullest(self) -> str:
        """The link there is most of, of several the one seen last; empty when there is none."""
        with self._lock:
            return self._fullest()

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The latest records of one of the rare topics, newest first."""
        with self._lock:
            return _plain(reversed(self._rare[kind]))

    def find(self, record_id: str) -> Seen | None:
        """A record that was seen not long ago, by its id."""
        with self._lock:
            return self._found.get(record_id)

    def _fullest(self) -> str:
        return max(
            reversed(self._forecasts), key=lambda one: len(self._forecasts[one]) + len(self._scored[one]), default=""
        )

    def _link(self, node_id: str, peer_id: str) -> str:
        link = f"{node_id}:{peer_id}"
        if link not in self._forecasts:
            if len(self._forecasts) >= _LINKS:
                return ""  # the first ones stay: a page that changes its links could show none for long
            self._forecasts[link], self._actual[link] = deque(maxlen=_POINTS), deque(maxlen=_POINTS)
            self._scored[link] = deque(maxlen=_POINTS)
        return link

    def _residuals(self, link: str) -> list[list[Any]]:
        """Of the link's scored forecasts that are shown: when, actual less predicted, persistence's error, whose id."""
        predicted = {point[-1]: point[1] for point in self._forecasts.get(link, ())}
        return [
            [
                one.timestamp,
                one.actual[0] - predicted[one.prediction_time],
                one.persistence_error[0],
                one.covered[0],
                one.id,
            ]
            for one in self._scored.get(link, ())
            if one.prediction_time in predicted
        ]

    def _take_forecast(self, one: Forecast) -> None:
        if link := self._link(one.node_id, one.peer_id):
            self._forecasts[link].append(
                (one.target_time, one.predicted_bandwidth_mbps, one.lower[0], one.upper[0], one.id, one.prediction_time)
            )
            self._forecasts.move_to_end(link)

    def _score(self, event_id: str) -> None:
        """Once both are there: what was decided against what the oracle says, over the last 500 transfers."""
        if event_id not in self._decided or event_id not in self._labels:
            return
        decided, label = self._decided.pop(event_id), self._labels.pop(event_id)
        right, by_rule = decided.algorithm == label.label, decided.heuristic_algorithm == label.label
        self._scores.append(
            (right, by_rule, label.label == "HDE", 0.0 if right else label.margin, 0.0 if by_rule else label.margin)
        )
        n = len(self._scores)
        accuracy, heuristic, hde, regret, rule_regret = (sum(column) / n for column in zip(*self._scores, strict=True))
        point = (accuracy, heuristic, max(hde, 1 - hde), regret, rule_regret, decided.id)
        # Links are not in step, so an event time may be before the last one's.
        last = self._selector[-1][0] if self._selector else label.timestamp - _SPACING_MS
        if label.timestamp - last < _SPACING_MS:
            self._selector[-1] = (last, *point)
        else:
            self._selector.append((label.timestamp, *point))


def _keep(kept: OrderedDict[str, Any], name: str, value: Any, limit: int) -> None:
    if name:
        kept[name] = value
        if len(kept) > limit:
            kept.popitem(last=False)


def _short(record: Any) -> Any:
    """What the page shows of a record; it asks for the whole one by its id."""
    match record:
        case Anomaly():
            names = ("id", "timestamp", "node_id", "peer_id", "anomaly_type", "severity", "status")
            return {name: getattr(record, name) for name in names}
        case _:
            return record


def _by_day(one: CapacityForecast) -> dict[str, Any]:
    """A forecast by the day: its time, the highest value, the limits, and how likely the critical level was crossed."""
    days: dict[int, list[float]] = {}
    steps = zip(one.predicted, one.lower, one.upper, one.critical_probability, strict=True)
    for step, (predicted, lower, upper, probability) in enumerate(steps):
        at = one.first_target_time + step * one.step_ms
        day = days.setdefault(at // _DAY_MS, [at, predicted, lower, upper, probability])
        day[1:] = max(day[1], predicted), min(day[2], lower), max(day[3], upper), max(day[4], probability)
    if len(days) > 1 and (at + one.step_ms) % _DAY_MS:
        days.popitem()  # the last one is not whole: what is its highest value so far is none
    names = ("id", "timestamp", "scope", "resource", "unit", "threshold", "critical_threshold")
    return {name: getattr(one, name) for name in names} | {"days": list(days.values())[:_DAYS]}


def _plain(records: Iterable[Any]) -> list[dict[str, Any]]:
    found: Sequence[dict[str, Any]] = msgspec.to_builtins(list(records))
    return list(found)
