"""Predictions with the transfers they were made for and the labels that came: joined by event.

The three come on topics of their own, in any order. A prediction waits for the others; what
never comes is given up for after a while, and then the prediction goes on without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from schemas.compression import CompressionTelemetry, OracleLabel, SelectorPrediction

WAITING: Final = 50_000
"""Events that are waited for at most; beyond, the oldest go on as they are."""

_KBIT_PER_BYTE: Final = 8e-3


class Told(Struct):
    """What is known of one event so far, and since when."""

    since_ms: int
    prediction: SelectorPrediction | None = None
    label: OracleLabel | None = None
    transfer: CompressionTelemetry | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is waited for."""
        return self.prediction is not None and self.label is not None and self.transfer is not None


class Answered(NamedTuple):
    """A prediction, and what came of it.

    Parameters
    ----------
    prediction
        As published.
    truth
        The algorithm that was better by realised outcomes; empty where that was not measured.
    throughput_mbps
        Of the algorithm that was decided for; NaN where it was not measured.
    bandwidth_mbps
        What the link had available; NaN when the transfer is not known.
    """

    prediction: SelectorPrediction
    truth: str
    throughput_mbps: float
    bandwidth_mbps: float

    @property
    def link(self) -> bytes:
        """Key of the link."""
        return f"{self.prediction.node_id}:{self.prediction.peer_id}".encode()


class Join:
    """Joins the three; bounded, and captured for a restart.

    Parameters
    ----------
    captured
        What `capture` gave.
    waiting
        Events at most.
    """

    def __init__(self, captured: Sequence[tuple[str, Told]] = (), waiting: int = WAITING) -> None:
        self._told = dict(captured)
        self._waiting = waiting

    def add(
        self,
        now_ms: int,
        predictions: Iterable[SelectorPrediction] = (),
        labels: Iterable[OracleLabel] = (),
        transfers: Iterable[CompressionTelemetry] = (),
    ) -> list[Answered]:
        """Take records in; what is whole by now, and what had to make room."""
        whole: list[Told] = []
        for name, records in (("prediction", predictions), ("label", labels), ("transfer", transfers)):
            for record in records:
                told = self._told.setdefault(record.event_id, Told(now_ms))
                setattr(told, name, record)
                if told.whole:
                    whole.append(self._told.pop(record.event_id))
        while len(self._told) > self._waiting:
            whole.append(self._told.pop(next(iter(self._told))))
        return _answered(whole)

    def give_up(self, before_ms: int) -> list[Answered]:
        """What was waited for since before a time, as far as it came."""
        old = [event for event, told in self._told.items() if told.since_ms < before_ms]
        return _answered([self._told.pop(event) for event in old])

    def capture(self) -> list[tuple[str, Told]]:
        """What waits, for a restart."""
        return list(self._told.items())


def _answered(told: Iterable[Told]) -> list[Answered]:
    found = []
    for one in told:
        if one.prediction is None:
            continue
        truth = one.label.label if one.label is not None and one.label.label_source == "outcome" else ""
        bandwidth = one.transfer.bandwidth_available_mbps if one.transfer is not None else math.nan
        found.append(Answered(one.prediction, truth, _throughput(one.prediction, one.transfer), bandwidth))
    return found


def _throughput(prediction: SelectorPrediction, transfer: CompressionTelemetry | None) -> float:
    """What the decision got: measured where it was followed, else what the other side's measurement says."""
    if transfer is None:
        return math.nan
    if transfer.actual_algorithm == prediction.algorithm and transfer.actual_throughput_mbps:
        return transfer.actual_throughput_mbps
    hde = prediction.algorithm == "HDE"
    latency_ms = transfer.outcome_hde_latency_ms if hde else transfer.outcome_amst_latency_ms
    return transfer.payload_size * _KBIT_PER_BYTE / latency_ms if latency_ms else math.nan
