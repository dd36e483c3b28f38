"""The commands of docker-compose.yml, with its environment, on a real Kafka: topics once, two workers, their health."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.demo.process import free_port
from tests.deploy.compose import environment, services
from tests.e2e.conftest import fresh
from tests.e2e.harness import Worker, feed, read_until
from tests.kafka import Kafka

# What only holds inside the containers: addresses, and folders that are volumes.
ELSEWHERE = ("BROKER_URL", "DWCP_WEB_PORT", "DWCP_MODEL_STORE", "NUMBA_CACHE_DIR")
WORKERS = ("worker-1", "worker-2")


def given(name: str) -> dict[str, str]:
    """A service's environment without what only holds inside its container."""
    return {k: v for k, v in environment(name).items() if k not in ELSEWHERE}


@pytest.mark.kafka
def test_what_compose_starts_works_together(kafka: Kafka, tmp_path: Path) -> None:
    broker = fresh(kafka)
    base = {"DWCP_MODEL_STORE": str(tmp_path), **broker.environment}
    command = services()["topics"]["command"]
    applied = subprocess.run(
        [sys.executable, "-m", "streams.cli", *command[1:]], env={**os.environ, **given("topics"), **base},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (applied.returncode, applied.stdout.strip()) == (0, "nothing to do"), applied.stderr
    workers = {}
    try:
        for name in WORKERS:
            assert services()[name]["command"] == ["faust", "--quiet", "-A", "app", "worker"]
            own = {**given(name), **base, "DWCP_WEB_PORT": str(free_port())}
            workers[name] = Worker(own, tmp_path, app="app", options="--quiet")
        for worker in workers.values():
            worker.wait_ready(timeout_s=240)
        deadline = time.monotonic() + 60
        while min(map(partitions, workers.values())) < 10:  # some topics have one partition, so not half each
            assert time.monotonic() < deadline
            time.sleep(0.5)
        fed = feed(broker.settings, 500)
        assert set(read_until(broker.settings, 500).values) == fed.good
        for name, worker in workers.items():
            assert health(name, worker) == 0
            grace_s = float(services()[name]["stop_grace_period"].removesuffix("s"))
            assert worker.stop(grace_s) == 0, worker.tail()
            assert health(name, worker) != 0
            for line in worker.log.read_text().splitlines():
                assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
    finally:
        for worker in workers.values():
            worker.kill()


def partitions(worker: Worker) -> int:
    found: int = json.loads(worker.get("/health/ready")[1] or "{}").get("partitions", 0)
    return found


def health(name: str, worker: Worker) -> int:
    """Exit code of the service's own health check, aimed at the worker's port."""
    command = services()[name]["healthcheck"]["test"]
    assert command[:2] == ["CMD", "python"]
    code = command[3].replace(f":{environment(name)['DWCP_WEB_PORT']}/", f":{worker.port}/")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30).returncode
