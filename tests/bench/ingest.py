"""Events/s of one worker: network samples from the raw to the keyed topic, on the embedded broker.

Records are in the broker before the worker starts; the rate is taken between the
first and the last growth of `dwcp_events_in`, and counts records whose outputs were
handed to the producer. The broker runs in this process, on the other core.

    python tests/bench/ingest.py --records 400000 --json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from confluent_kafka import Producer

from schemas.topic import NETWORK_RAW
from streams.demo.process import free_port
from streams.embedded import EmbeddedBroker

ROOT = Path(__file__).parent.parent.parent


def sample(link: int, at: int) -> bytes:
    return json.dumps(
        {
            "timestamp": f"2025-03-01T{at // 60 % 24:02d}:{at % 60:02d}:00.123456789Z",
            "node_id": f"node-{link:04d}", "peer_id": f"node-{link + 1:04d}", "region": "us-east", "az": "a",
            "link_type": "wan", "rtt_ms": 40.0 + at % 7, "jitter_ms": 1.5, "packet_loss": 0.01,
            "throughput_mbps": 900.0 - at % 11, "bytes_tx": 1_000_000, "bytes_rx": 10_000, "retransmits": 3,
            "congestion_window": 64, "queue_depth": 3, "dwcp_mode": "standard", "transport_type": "tcp",
        }
    ).encode()  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--app", default="tests.e2e.ingest")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    values = [sample(link, at) for link in range(100) for at in range(20)]
    with EmbeddedBroker() as broker:
        producer = Producer(
            {"bootstrap.servers": broker.address, "compression.type": "lz4", "linger.ms": 20,
             "queue.buffering.max.messages": options.records + 1}
        )  # fmt: skip
        for i in range(options.records):
            producer.produce(NETWORK_RAW.name, values[i % len(values)], partition=i % NETWORK_RAW.partitions)
            if i % 10_000 == 0:
                producer.poll(0)
        producer.flush()
        result = measure(broker.address, options.app, options.records)
    print(json.dumps(result) if options.json else f"{result['events_per_second']:,.0f} events/s")


def measure(address: str, app: str, records: int) -> dict[str, float]:
    port = free_port()
    environment = {
        **os.environ, "BROKER_URL": f"kafka://{address}", "DWCP_WEB_PORT": str(port),
    }  # fmt: skip
    worker = subprocess.Popen([sys.executable, "-m", "faust", "-A", app, "worker"], env=environment, cwd=ROOT)
    try:
        first = last = 0.0
        first_at = last_at = 0.0
        deadline = time.monotonic() + 120
        while last < records and time.monotonic() < deadline:
            count = events_in(port)
            now = time.monotonic()
            if count > last:
                last, last_at = count, now
                if not first:
                    first, first_at = count, now
            time.sleep(0.05)
    finally:
        worker.terminate()
        worker.wait(20)
    return {
        "records": last,
        "seconds": last_at - first_at,
        "events_per_second": (last - first) / max(last_at - first_at, 1e-9),
    }


def events_in(port: int) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            text = response.read().decode()
    except (urllib.error.URLError, OSError):
        return 0.0
    found = re.search(rf'dwcp_events_in_total{{topic="{NETWORK_RAW.name}"}} (\S+)', text)
    return float(found[1]) if found else 0.0


if __name__ == "__main__":
    main()
