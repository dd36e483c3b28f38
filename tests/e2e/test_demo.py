"""The demo as its users run it, and the same fleet against workers that are killed."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from offline.simulator.bank import open_bank
from offline.simulator.feed import Pace, feed
from offline.simulator.fleet import Fleet, FleetPlan
from schemas.topic import DRIFT_ALERT, INPUTS, KEYED, OUTPUTS
from streams.demo.audit import Audit
from streams.sink import KafkaSink
from tests.e2e.conftest import Broker, Start

ROOT = Path(__file__).parent.parent.parent


def test_the_demo_loses_nothing_and_beats_its_baselines() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "streams.cli", "demo", "--seconds", "20", "--rate", "5000", "--web-port", "0", "--json"],
        capture_output=True, text=True, cwd=ROOT, timeout=240,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary["lost"] == 0
    assert summary["worker_exit_code"] == 0
    assert summary["events_in"] == summary["simulator"]["events"]
    quiet = {t.name for t in (*OUTPUTS, *KEYED) if not summary["events_out"][t.name]}
    assert quiet <= {DRIFT_ALERT.name}  # twenty seconds need not hold a drift
    assert summary["dead_letters"] == sum(summary["dead_letters_by_reason"].values()) > 0
    selector = summary["selector"]
    assert selector["accuracy"] > max(selector["majority"], selector["heuristic"])
    assert selector["regret"] < selector["heuristic_regret"]
    bandwidth = summary["bandwidth"]
    assert bandwidth["scored"] > 1000
    targets = bandwidth["targets"]
    for name in ("rtt_ms", "jitter_ms"):
        assert targets[name]["mae"] < targets[name]["mae_persistence"]
    # Two hours of event time, a fault of the largest links in them, are hardly more than a warm-up.
    assert bandwidth["mae"] < 1.02 * bandwidth["mae_persistence"]
    assert summary["anomalies"] > 0


def test_a_busy_port_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "-m", "streams.cli", "demo", "--web-port", str(port)],
            capture_output=True, text=True, cwd=ROOT, timeout=60,
        )  # fmt: skip
    assert run.returncode == 78
    assert run.stderr.startswith(f"dwcp: --web-port={port} is not usable: the port must be free")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("seed", [1])
def test_killed_workers_lose_no_input_of_the_whole_fleet(
    seed: int, broker: Broker, start: Start, tmp_path: Path
) -> None:
    """Every agent and both hops, all faults, kill -9 at random moments under load."""
    rng = random.Random(seed)
    settings = broker.settings
    audit = Audit(settings)
    names = {topic.dataset: settings.name_of(topic) for topic in INPUTS}
    bank = open_bank(tmp_path / "bank.npz", "generated", False)
    fleet = Fleet(FleetPlan(seed=seed, links=24, nodes=6, transfers=0.3, faults="random"), bank, names)
    done = threading.Event()

    def run_fleet() -> None:
        sink = KafkaSink(settings.bootstrap)
        feed(fleet, sink, Pace(rate=1500.0), done.is_set, lambda *_: None)
        sink.close()

    feeding = threading.Thread(target=run_fleet)
    worker = start(broker.environment, app="app").wait_ready(timeout_s=120)
    feeding.start()
    try:
        for _ in range(3):
            until = time.monotonic() + rng.uniform(1.5, 3.0)
            while time.monotonic() < until:
                audit.poll(0.1)
            worker.kill()
            worker = start(broker.environment, app="app").wait_ready()
    finally:
        done.set()
        feeding.join()
    assert audit.drain(60.0) == 0, f"seed {seed}: {worker.tail()}"
    assert worker.stop() == 0
    assert audit.events_in > 5000
    assert sum(audit.dead_letters.values()) > 0
    audit.close()
