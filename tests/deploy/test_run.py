"""What docker-compose.yml starts, by hand: each command as its user, in its environment, until its health check passes.

On one machine, in the order of `depends_on`: Kafka as the image configures it, the topics,
two workers, the sidecar, the fleet, and Debian's Prometheus on our configuration and rules.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from confluent_kafka.admin import AdminClient

from app import app
from schemas.kernel_cache import source_digest
from schemas.topic import TOPICS
from streams.demo.process import free_port
from tests.deploy.compose import DEPLOY, environment, services
from tests.deploy.container import Container, Place, ended, java, kafka_properties, tree_copy
from tests.kafka import require_kafka

WORKERS = ("worker-1", "worker-2")


def until(what: Callable[[], Any], containers: dict[str, Container], timeout_s: float, *names: str) -> Any:
    """What is true at last; the logs of who should have made it so, when it never is."""
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        for name in names:
            assert containers[name].process.poll() is None, containers[name].tail()
        assert time.monotonic() < deadline, [containers[name].tail() for name in names]
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Folders and addresses."""
    require_kafka()
    folder = Path(tempfile.mkdtemp(prefix="compose-"))
    folder.chmod(0o777)
    made = Place(folder)
    user = services()["worker-1"]["user"]
    made.volume("kafka", "/var/lib/kafka/data", services()["kafka"]["user"])
    made.volume("models", "/var/lib/dwcp/models", user)
    made.volume("data", "/var/lib/dwcp/data", user)
    made.volume("prometheus", "/prometheus", services()["prometheus"]["user"])
    kernels = made.volume("kernels", "/var/cache/dwcp", user)
    for agent in app.declared.values():
        agent.warm()  # here, where other tests find what was compiled, and not in folders that are deleted
    compiled = Path(numba.config.CACHE_DIR)
    if compiled.name == source_digest() and compiled.is_dir():
        tree_copy(compiled, kernels / compiled.name, user)
    inner, outer, controller = (free_port() for _ in range(3))
    made.swaps |= {
        "kafka://kafka:19092": f"kafka://127.0.0.1:{inner}", "INTERNAL://kafka:19092": f"INTERNAL://127.0.0.1:{inner}",
        "INTERNAL://:19092": f"INTERNAL://127.0.0.1:{inner}", "HOST://:9092": f"HOST://127.0.0.1:{outer}",
        "HOST://127.0.0.1:9092": f"HOST://127.0.0.1:{outer}", "127.0.0.1:9093": f"127.0.0.1:{controller}",
    }  # fmt: skip
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[dict[str, Container]]:
    """Everything, in order, each once what it waits for is healthy."""
    containers: dict[str, Container] = {}
    with ended(containers):
        properties = str(kafka_properties(place))
        cluster = environment("kafka")["CLUSTER_ID"]
        formatted = Container(
            place, "kafka", java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", properties)
        )
        assert formatted.process.wait(60) == 0, formatted.tail()
        containers["kafka"] = Container(place, "kafka", java("kafka.Kafka", properties))
        address = place.here(environment("worker-1")["BROKER_URL"]).removeprefix("kafka://")
        until(lambda: answers(address), containers, 60, "kafka")
        containers["topics"] = Container(place, "topics")
        assert containers["topics"].process.wait(60) == 0, containers["topics"].tail()
        for name in WORKERS:
            port = str(free_port())
            place.swaps |= {f"{name}:6066": f"127.0.0.1:{port}"}
            containers[name] = on_port(place, name, environment(name)["DWCP_WEB_PORT"], port)
        place.swaps |= {"sidecar:6070": f"127.0.0.1:{(port := str(free_port()))}"}
        containers["sidecar"] = on_port(place, "sidecar", environment("sidecar")["DWCP_SIDECAR_PORT"], port)
        containers["fleet"] = Container(place, "fleet")
        for name in (*WORKERS, "sidecar"):
            until(lambda name=name: containers[name].health() == 0, containers, 300, name)
        yield containers


def on_port(place: Place, name: str, there: str, port: str) -> Container:
    """A service whose port is its own inside its container, and another one here."""
    own = Place(place.folder)
    # The environment has the port alone, the health check has it in an address.
    own.swaps = place.swaps | {there: port}
    return Container(own, name)


def answers(address: str) -> bool:
    try:
        return bool(AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=1).brokers)
    except Exception:
        return False


def get(address: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
        text = answer.read().decode()
    return json.loads(text) if text.startswith("{") else text


@pytest.mark.kafka
def test_the_topics_are_there_and_applying_them_again_changes_nothing(
    running: dict[str, Container], place: Place
) -> None:
    said = running["topics"].log.read_text().splitlines()
    assert len([line for line in said if line.startswith("create dwcp.")]) == len(TOPICS)
    again = Container(place, "topics")
    assert again.process.wait(60) == 0
    assert again.tail().splitlines()[-1] == "nothing to do"


@pytest.mark.kafka
def test_both_workers_take_partitions_and_answer_the_fleet(running: dict[str, Container], place: Place) -> None:
    for name in WORKERS:
        at = place.here(f"{name}:6066")
        until(lambda at=at: partitions(at) >= 10, running, 60, name)
    until(lambda: any(keyed(place.here(f"{n}:6066")) for n in WORKERS), running, 120, "fleet", *WORKERS)


def partitions(address: str) -> int:
    """How many a worker has; none while it is not ready, as in a rebalance."""
    try:
        return int(get(address, "/health/ready")["partitions"])
    except urllib.error.HTTPError:
        return 0


def keyed(address: str) -> bool:
    """Whether a worker has published what ingest makes of the fleet's records."""
    lines = get(address, "/metrics").splitlines()
    return any(re.match(r'dwcp_events_out_total\{topic="dwcp\.\w+\.keyed\.v1"\} [1-9]', line) for line in lines)


@pytest.mark.kafka
def test_prometheus_finds_them_all_up_and_its_rules_well(running: dict[str, Container], place: Place) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus (apt-get install prometheus)")
    port = free_port()
    shutil.copy(DEPLOY / "alerts.yml", place.folder / "alerts.yml")
    (place.folder / "prometheus.yml").write_text(place.here((DEPLOY / "prometheus.yml").read_text()))
    own = Place(place.folder)
    own.swaps = place.swaps | {
        "/etc/prometheus/": f"{place.folder}/", ":9090": f"127.0.0.1:{port}",
        "http://127.0.0.1:9090": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    started = Container(own, "prometheus", ["prometheus", *services()["prometheus"]["command"]])
    containers = running | {"prometheus": started}
    at = f"127.0.0.1:{port}"
    try:
        until(lambda: started.health() == 0, containers, 30, "prometheus")

        def all_up() -> Any:
            found = get(at, "/api/v1/targets")["data"]["activeTargets"]
            return len(found) == 3 and all(one["health"] == "up" for one in found)

        until(all_up, containers, 60, "prometheus")
        until(lambda: value(at, "sum(dwcp_ready)") == len(WORKERS), containers, 30, "prometheus")
        rules = [rule for group in get(at, "/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
        assert len(rules) == 16
        until(lambda: all_evaluated(at), containers, 60, "prometheus")
        assert value(at, "count(dwcp_sidecar_rows_total)") == 1
        assert started.stop() == 0, started.tail()
    finally:
        started.kill()


def all_evaluated(address: str) -> bool:
    """Every rule was asked once, and none has a fault."""
    rules = [rule for group in get(address, "/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
    assert not [rule["lastError"] for rule in rules if rule.get("lastError")]
    return all(rule["health"] == "ok" for rule in rules)


def value(address: str, query: str) -> float | None:
    found = get(address, "/api/v1/query", query=query)["data"]["result"]
    return float(found[0]["value"][1]) if found else None


@pytest.mark.kafka
def test_they_stop_in_order_within_their_grace_and_have_logged_json(running: dict[str, Container]) -> None:
    """Last of all."""
    running["fleet"].stop()
    for name in ("sidecar", *WORKERS):
        assert running[name].health() == 0
        assert running[name].stop() == 0, running[name].tail()
        assert running[name].health() != 0
        lines = [line for line in running[name].log.read_text().splitlines() if line]
        shown = [json.loads(line) for line in lines if line.startswith("{")]
        assert all({"time", "level", "logger", "message"} <= line.keys() for line in shown)
        assert len(shown) >= len(lines) - (name == "sidecar"), lines[:3]
    running["kafka"].process.terminate()
    assert running["kafka"].process.wait(60) in (0, 143)
