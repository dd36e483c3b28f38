"""What a slow agent cannot take stays on the broker."""

from __future__ import annotations

import time

from tests.e2e.conftest import Broker, Start
from tests.e2e.harness import feed

BATCH, BUFFER = 50, 4


def test_a_slow_step_pauses_fetching(broker: Broker, start: Start) -> None:
    records = 20_000
    feed(broker.settings, records)
    environment = broker.environment | {
        "DWCP_BATCH_MAX_RECORDS": str(BATCH), "DWCP_BUFFER_BATCHES": str(BUFFER), "DWCP_FETCH_MAX_BYTES": "10000",
    }  # fmt: skip
    worker = start(environment, app="tests.e2e.slow").wait_ready()
    most, deadline = 0.0, time.monotonic() + 3
    while time.monotonic() < deadline:
        most = max(most, worker.counter("dwcp_uncommitted_records"))
    read = worker.counter("dwcp_events_in_total")
    assert 1000 < read < records, "it works, and is slow"
    # Buffered chunks, one poll more, and what a commit interval of 0.1 s leaves open.
    assert BATCH < most <= BATCH * (BUFFER + 20)
    assert worker.stop() == 0
