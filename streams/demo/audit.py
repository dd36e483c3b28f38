"""The demo's subscriber: reads every topic as anyone could, and accounts for every input."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition
from msgspec import Struct
from msgspec.json import Decoder

from schemas.error import InfraError
from schemas.header import ERROR_REASON, ORIGIN
from schemas.topic import (
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    COMPRESSION_RAW,
    DEAD_LETTER,
    DRIFT_ALERT,
    IN_USE,
    INPUTS,
    KEYED,
    LATE,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_RAW,
    NETWORK_SCORE,
    REJECTS,
    SYSTEM_ANOMALY,
    SYSTEM_RAW,
    SYSTEM_SCORE,
    Topic,
)
from streams.demo import ledger
from streams.demo.score import Announced, BandwidthScore, SelectorScore
from streams.security import client_config
from streams.settings import Settings

_POLL_RECORDS = 5_000
_COMPACT_EVERY_S = 10.0
_ANSWER_S = 5.0

_BIT = dict.fromkeys(KEYED, ledger.KEYED) | {
    NETWORK_FORECAST: ledger.ANSWER,
    COMPRESSION_PREDICTION: ledger.ANSWER,
    SYSTEM_SCORE: ledger.ANSWER,
    NETWORK_FEATURES: ledger.DERIVED,
    COMPRESSION_LABEL: ledger.DERIVED,
    DEAD_LETTER: ledger.REJECTED,
    LATE: ledger.REJECTED,
}
# A label needs an outcome or a history, which a producer may not have sent.
_REQUIRED = {
    NETWORK_RAW: ledger.KEYED | ledger.ANSWER | ledger.DERIVED,
    COMPRESSION_RAW: ledger.KEYED | ledger.ANSWER,
    SYSTEM_RAW: ledger.KEYED | ledger.ANSWER,
}


class DriftSeen(Struct):
    """The part of a drift alert that the demo shows."""

    timestamp: int
    model: str
    feature: str
    statistic: str
    value: float
    level: str = "alert"


class ForecastSeen(Struct):
    """The part of a forecast that the demo shows."""

    node_id: str
    peer_id: str
    predicted_bandwidth_mbps: float
    predicted_latency_ms: float
    confidence: float
    amst_streams: int
    amst_action: str


class Audit:
    """Every figure the demo prints, computed from what the topics carry.

    Parameters
    ----------
    settings
        Where the broker is, and what its topics are called.
    topics
        Which to read; the inputs and what accounts for them must be among them.
    watch
        Is given the values of more topics, or instead of what is read here.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[Topic] = IN_USE,
        watch: Mapping[Topic, Callable[[bytes], object]] | None = None,
    ) -> None:
        self.events: Counter[Topic] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.late = 0
        self.selector = SelectorScore()
        self.bandwidth = BandwidthScore()
        self.anomalies: list[Announced] = []
        self.drift_alerts: list[DriftSeen] = []
        self.forecasts: deque[bytes] = deque(maxlen=4)
        self._partitions: dict[tuple[Topic, int], ledger.PartitionLedger] = {}
        self._name = settings.name_of
        self._topic = {settings.name_of(topic): topic for topic in topics}
        self._consumer = _consumer(settings)
        known = self._consumer.list_topics(timeout=_ANSWER_S).topics
        self._counts = {topic: len(known[name].partitions) for name, topic in self._topic.items()}
        self._consumer.assign([TopicPartition(self._name(t), p, 0) for t, n in self._counts.items() for p in range(n)])
        self._compacted = time.monotonic()
        self.first_input_ms: int | None = None
        self.last_output_ms: int | None = None
        self._read = {
            COMPRESSION_LABEL: self.selector.label,
            COMPRESSION_PREDICTION: self.selector.prediction,
            NETWORK_SCORE: self.bandwidth.score,
            NETWORK_FORECAST: self.forecasts.append,
            SYSTEM_ANOMALY: lambda value: self.anomalies.append(_anomaly.decode(value)),
            DRIFT_ALERT: lambda value: self.drift_alerts.append(_drift.decode(value)),
            **(watch or {}),
        }

    def poll(self, timeout_s: float) -> int:
        """Read what has arrived; how many records that was."""
        messages = self._consumer.consume(_POLL_RECORDS, timeout_s)
        now_ms = time.time_ns() // 1_000_000
        for message in messages:
            if message.error():
                raise InfraError(f"the demo's subscriber cannot read: {message.error()}")
            self._take(message, now_ms)
        if time.monotonic() - self._compacted > _COMPACT_EVERY_S:
            self._compacted = time.monotonic()
            for account in self._partitions.values():
                account.compact()
        return len(messages)

    def _take(self, message: Message, now_ms: int) -> None:
        topic = self._topic[message.topic()]
        self.events[topic] += 1
        if topic in _REQUIRED:
            sent_ms = message.timestamp()[1]
            self._account(topic, message.partition()).sent(message.offset(), sent_ms)
            if self.first_input_ms is None:
                self.first_input_ms = sent_ms
            return
        if message.value() is None and topic not in REJECTS:
            return  # a control: it concerns the partition, and answers no input
        self.last_output_ms = now_ms
        headers = message.headers() or ()
        bit = _BIT.get(topic)
        if bit is not None and not self._saw(headers, bit, now_ms):
            return
        if topic == DEAD_LETTER:
            self.dead_letters[_header(headers, ERROR_REASON).decode()] += 1
        elif topic == LATE:
            self.late += 1
        read = self._read.get(topic)
        if read is not None:
            read(message.value())

    def _saw(self, headers: Any, bit: int, now_ms: int) -> bool:
        name, partition, offset = _header(headers, ORIGIN).decode().rsplit("/", 2)
        return self._account(self._topic[name], int(partition)).saw(int(offset), bit, now_ms)

    def _account(self, topic: Topic, partition: int) -> ledger.PartitionLedger:
        account = self._partitions.get((topic, partition))
        if account is None:
            account = self._partitions[topic, partition] = ledger.PartitionLedger(_REQUIRED[topic])
        return account

    def lost(self) -> int:
        """Inputs on the broker without their outputs, a dead letter or a late record."""
        total = 0
        for topic in (one for one in INPUTS if one in self._counts):
            for partition in range(self._counts[topic]):
                place = TopicPartition(self._name(topic), partition)
                _, end = self._consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
                total += self._account(topic, partition).lost(end)
        return total

    def drain(self, timeout_s: float) -> int:
        """Read on until every input is accounted for or the time is up; how many are lost."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.poll(0.2) == 0 and self.lost() == 0:
                break
        return self.lost()

    @property
    def events_in(self) -> int:
        """Records on the input topics."""
        return sum(self.events[topic] for topic in INPUTS)

    @property
    def repeats(self) -> int:
        """Outputs seen more than once with the same id: what at-least-once costs."""
        return sum(account.repeats for account in self._partitions.values())

    def latency_ms(self) -> dict[str, float | None]:
        """From the moment an input was due to be sent to its answer's arrival here."""
        total = np.zeros(ledger.LATENCY_BUCKETS_MS, np.int64)
        for account in self._partitions.values():
            total += account.latency_histogram()
        return {"p50": ledger.quantile_ms(total, 0.5), "p99": ledger.quantile_ms(total, 0.99)}

    def latest_forecasts(self) -> list[ForecastSeen]:
        """The newest forecasts, oldest first."""
        return [_forecast.decode(value) for value in self.forecasts]

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


_anomaly = Decoder(Announced)
_drift = Decoder(DriftSeen)
_forecast = Decoder(ForecastSeen)


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        client_config(settings)
        | {
            "group.id": f"{settings.app_id}-audit",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )


def _header(headers: Any, name: str) -> bytes:
    for key, value in headers:
        if key == name:
            return bytes(value)
    raise InfraError(f"a record without its {name} header: its input cannot be accounted for")
