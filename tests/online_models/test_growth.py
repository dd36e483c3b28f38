"""A batch may bring more new keys than a state has room for: its rows move while it is under way."""

from __future__ import annotations

from typing import Any

import pytest

from online_models.anomaly.link_watch import LinkWatch
from online_models.anomaly.state import SystemState
from online_models.bandwidth.state import NetworkState
from online_models.collector.rollup import RollupState
from online_models.performance.state import PerformanceState
from online_models.selector.state import CompressionState
from tests.online_models.stream import (
    encoded,
    metric_stream,
    metrics_of,
    network_stream,
    run_cut,
    samples_of,
    transfer_stream,
    transfers_of,
)

KEYS = 300
MAKE = {
    "samples": lambda: samples_of(network_stream(minutes=3, links=KEYS)),
    "metrics": lambda: metrics_of(metric_stream(steps=3, nodes=KEYS)),
    "transfers": lambda: transfers_of(transfer_stream(3 * KEYS)),
}


@pytest.mark.parametrize(
    ("state", "stream"),
    [
        (NetworkState, "samples"),
        (LinkWatch, "samples"),
        (SystemState, "metrics"),
        (RollupState, "metrics"),
        (PerformanceState, "metrics"),
        (CompressionState, "transfers"),
    ],
)
def test_new_keys_beyond_the_room_there_is(state: Any, stream: str) -> None:
    batch = MAKE[stream]()
    whole, cut = state(), state()
    result = whole.step(batch)
    assert run_cut(cut, batch, 1) == encoded([(0, result)])
    assert cut.digest() == whole.digest()
    assert len(whole) == len(set(batch.key))
