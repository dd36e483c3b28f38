"""The demo as its users run it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from schemas.topic import DRIFT_ALERT, KEYED, OUTPUTS

ROOT = Path(__file__).parent.parent.parent


def test_the_demo_loses_nothing_and_beats_its_baselines() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "streams.cli", "demo", "--seconds", "20", "--rate", "5000", "--speed", "600",
         "--web-port", "0", "--json"],
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
