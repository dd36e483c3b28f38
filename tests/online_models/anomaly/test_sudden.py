"""Jumps: a fall that an hour's course would hide is found at once, and a return to the usual is none."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from online_models.anomaly.state import SystemState
from schemas.binary import Binary
from schemas.system import Anomaly, SystemMetrics
from schemas.topic import SYSTEM_ANOMALY
from streams.envelope import Envelope
from tests.online_models.stream import metrics, metrics_of

STEPS = 1500
SICK = 1200


def wide(
    factor: float, begin: int = SICK, end: int = SICK + 30, metric: str = "throughput_mean"
) -> list[SystemMetrics]:
    """A node whose metrics wander widely within the hour, one of them times `factor` for some records."""
    rng = np.random.default_rng(3)
    found = []
    for k in range(STEPS):
        course = 1.0 + 0.15 * np.sin(k / 110.0)
        change = {metric: 2000.0 if metric == "throughput_mean" else 60.0}
        change[metric] *= course * (1.0 + 0.02 * rng.normal()) * (factor if begin <= k < end else 1.0)
        found.append(metrics(1_700_000_000_000 + 5000 * k, **change))
    return found


def opened(records: list[SystemMetrics]) -> list[tuple[str, int]]:
    """Type and record of alerts that one metric pushed; forests may find the whole unusual."""
    batch = metrics_of(records)
    output = SystemState().step(batch).outputs.get(SYSTEM_ANOMALY)
    if output is None:
        return []
    values = Envelope(SYSTEM_ANOMALY, "test").encode(output, Binary.of(batch.origin), Binary.of(batch.key)).values
    said = [msgspec.json.decode(value, type=Anomaly) for value in values]
    named = [one for one in said if one.status == "open" and one.anomaly_type != "unknown"]
    return [(one.anomaly_type, (one.timestamp - records[0].timestamp) // 5000) for one in named]


@pytest.mark.parametrize("begin", [1000, 1060, 1120, 1180, 1240])
def test_a_fall_within_a_wide_course_is_found_at_once(begin: int) -> None:
    assert ("throughput_drop", begin) in opened(wide(0.55, begin, begin + 20))


def test_a_wide_course_alone_is_no_anomaly() -> None:
    assert not opened(wide(1.0))


@pytest.mark.parametrize(("metric", "better"), [("throughput_mean", 1.6), ("consensus_time", 0.5)])
def test_a_gain_and_its_end_are_no_anomaly(metric: str, better: float) -> None:
    assert not opened(wide(better, metric=metric))


def test_what_hurts_may_be_a_rise() -> None:
    assert opened(wide(1.9, metric="consensus_time"))[0] == ("consensus_delay", SICK)
