"""The live page and the API on a worker that has answered a fleet: in a browser, and by hand."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas.topic import (
    COMPRESSION_PREDICTION,
    NETWORK_FORECAST,
    OPTIMIZER_REQUEST,
    SYSTEM_ANOMALY,
    SYSTEM_KEYED,
)
from streams.cli import dwcp
from streams.embedded import EmbeddedBroker
from streams.recording.log import Log
from streams.settings import Settings
from tests.e2e import shown
from tests.e2e.harness import QUICK, Worker
from tests.streams.web.browser import browser
from tests.streams.web.server import ask

LAG = "dwcp_consumer_lag_records"
OPTIMIZE = "/api/v3/ml/optimize"
FLEET = (
    "--links", "16", "--nodes", "8", "--seconds", "5400", "--transfers", "0.02", "--seed", "7", "--faults", "random",
    "--speed", "max", "--quiet",
)  # fmt: skip
ASKED = {
    "scope": "fleet",
    "current": {"hde_compression_level": 6, "hde_chunk_size_bytes": 16_384, "hde_window_size_bytes": 524_288},
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that has answered 90 minutes of a fleet with faults."""
    with EmbeddedBroker() as broker:
        environment = {"BROKER_URL": broker.address, "DWCP_LOG_LEVEL": "debug", **QUICK}
        started = Worker(environment, tmp_path_factory.mktemp("page"), app="app")
        started.broker = broker  # type: ignore[attr-defined]
        try:
            started.wait_ready(timeout_s=240)
            done = CliRunner().invoke(dwcp, ["simulate", "--to", broker.address, *FLEET])
            assert done.exit_code == 0, done.output
            wait_idle(started)
            yield started
        finally:
            started.kill()


def wait_idle(worker: Worker) -> None:
    """Until nothing more is processed."""
    before, deadline = -1.0, time.monotonic() + 60
    while (now := worker.counter("dwcp_events_in_total")) != before or not now or worker.counter(LAG):
        assert time.monotonic() < deadline, worker.tail()
        before = now
        time.sleep(1)


def state(worker: Worker, link: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(worker.port, "GET", f"/api/v3/live/state?link={link}").body)
    return found


@contextmanager
def opened(worker: Worker, scheme: Any) -> Iterator[Any]:
    """The page in a browser, which may complain of nothing."""
    executable = browser()
    playwright = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []
    deadline = time.monotonic() + 60
    while not state(worker)["caught_up"]:
        assert time.monotonic() < deadline
    with playwright.sync_playwright() as run:
        chromium = run.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = chromium.new_page(color_scheme=scheme, viewport={"width": 1200, "height": 1800})
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("requestfailed", lambda r: complaints.append(f"{r.url}: {r.failure}"))
        page.goto(f"http://127.0.0.1:{worker.port}/")
        page.wait_for_selector("#forecast canvas", timeout=30_000)
        yield page
        chromium.close()
    assert not complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_what_the_api_says_and_complains_of_nothing(worker: Worker, scheme: Any, tmp_path: Path) -> None:
    with opened(worker, scheme) as page:
        page.wait_for_selector("#s-worker:text-is('ready')", timeout=30_000)
        page.wait_for_timeout(1500)
        said = state(worker, page.input_value("#link"))
        status = {name: page.inner_text(f"#s-{name}") for name in ("worker", "events", "dead", "partitions", "late")}
        assert status == {
            "worker": "ready",
            "events": f"{said['worker']['events_in']:,.0f}",
            "dead": f"{said['worker']['dead_letters']:,.0f}",
            "partitions": f"{said['worker']['partitions']:,}",
            "late": f"{said['worker']['late']:,.0f}",
        }
        assert page.inner_text("#link-state").startswith("live, ")
        assert page.locator("#link option").all_inner_texts() == said["links"]
        assert page.locator("#anomalies button").count() == len(said["system_anomaly"]) > 0
        accuracy = page.locator("#models tr", has_text="selector accuracy").locator("td").nth(1).inner_text()
        assert accuracy == f"{100 * said['models']['selector_accuracy']:.1f} %"
        assert page.locator("[data-for=optimizer]").is_visible()
        assert not page.locator("[data-for=forecast]").is_visible()
        page.wait_for_selector("#residual canvas")
        missed = said["residual"]
        mean = sum(abs(one[1]) for one in missed) / len(missed)
        assert page.inner_text("#residual-note").startswith(
            f"mean of these {len(missed)}: {mean:,.2f}".rstrip("0").rstrip(".")
        )
        page.screenshot(path=os.environ.get("PAGE_SCREENSHOT", str(tmp_path / "page.png")) if scheme == "light" else
                        str(tmp_path / "dark.png"))  # fmt: skip
        # By keyboard alone: a point of the forecast, and its record.
        page.focus("#forecast")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        page.wait_for_selector("#record[open] >> text=dwcp record dwcp.network.forecast.v1", timeout=10_000)
        assert page.inner_text("#record-value").startswith("{")
        page.keyboard.press("Escape")
        page.locator("#anomalies button").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#record[open] >> text=dwcp record dwcp.system.anomaly.v1", timeout=10_000)
        page.keyboard.press("Escape")
        for plot, topic in (("residual", "network.score"), ("accuracy", "compression.prediction")):
            page.focus(f"#{plot}")
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("Enter")
            page.wait_for_selector(f"#record[open] >> text=dwcp record dwcp.{topic}.v1", timeout=10_000)
            page.keyboard.press("Escape")


def test_residuals_are_what_came_less_what_was_forecast(worker: Worker) -> None:
    said = state(worker)
    actual, predicted = dict(said["actual"]), {point[0]: point[1] for point in said["forecast"]}
    assert len(said["residual"]) > 10
    for at, missed, persistence, covered, record in said["residual"]:
        target = min(predicted, key=lambda one: abs(one - at))
        assert missed == pytest.approx(actual[at] - predicted[target])
        assert persistence >= 0
        assert record.endswith(":network.score")
        lower, upper = next(point[2:4] for point in said["forecast"] if point[0] == target)
        assert covered == (lower <= actual[at] <= upper)


def test_a_point_s_commands_bring_its_record(worker: Worker, tmp_path: Path) -> None:
    said = state(worker)
    for record in (
        said["forecast"][-1][4],
        said["residual"][-1][4],
        said["selector"][-1][6],
        said["system_anomaly"][0]["id"],
    ):
        found = json.loads(ask(worker.port, "GET", f"/api/v3/live/record?id={record}").body)
        broker = {"BROKER_URL": worker.broker.address}  # type: ignore[attr-defined]
        folder = tmp_path / str(abs(hash(record)))
        folder.mkdir()
        with chdir(folder):
            for command in (found["record"], found["replay"]):
                done = CliRunner().invoke(dwcp, shlex.split(command)[1:], env=broker)
                assert done.exit_code == 0, done.output
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert found["value"] in [json.loads(line["payload"]) for line in lines]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_drift_experiments_capacity_and_tuning(worker: Worker, scheme: Any, tmp_path: Path) -> None:
    """After the others: from here on there is something of everything."""
    settings = Settings.from_environment({"BROKER_URL": worker.broker.address})  # type: ignore[attr-defined]
    if scheme == "light":
        shown.send(settings)
    with opened(worker, scheme) as page:
        page.wait_for_selector("#drift button", timeout=30_000)
        page.wait_for_selector("#outlook canvas", timeout=30_000)
        said = state(worker)
        rows = {(one["model"], one["feature"], one["statistic"]) for one in said["drift_alert"]}
        assert page.locator("#drift .heat").count() == len(rows)
        labels = page.locator("#drift button").evaluate_all("found => found.map((one) => one.ariaLabel)")
        assert any("bandwidth throughput_mbps (adwin): alert, 0.9 with a threshold of 0.2" in one for one in labels)
        page.locator("#drift button").first.click()
        page.wait_for_selector("#record[open] >> text=dwcp record dwcp.drift.alert.v1", timeout=10_000)
        page.keyboard.press("Escape")
        lifts = page.locator("#experiments tr td:nth-child(5)").all_inner_texts()
        assert lifts == ["+7.25 % (+1.5 to +13)", "-0.4 % (-2 to +1.2)"]
        bounds = page.locator("#experiments .lift").first.evaluate(
            "box => [...box.children].map((one) => one.getBoundingClientRect()).map((one) => [one.left, one.right])"
        )
        zero, interval, dot = bounds
        assert zero[0] < interval[0] < sum(dot) / 2 < interval[1], "all of it is above zero"
        crossing = page.locator("#capacity tr", has_text="memory").locator("td").all_inner_texts()
        assert crossing[5:8] == ["2026-01-17, in 12 days", "91.0 %", "HIGH"]
        assert page.locator("#capacity tr", has_text="cpu").locator("td").nth(5).inner_text() == "not within 30 days"
        assert page.input_value("#resource") == "fleet memory", "what is reached first"
        assert "90 percent on 2026-01-17" in page.inner_text("#capacity-note")
        page.select_option("#resource", "fleet cpu")
        assert page.inner_text("#capacity-note") == "stays below 90 percent"
        page.select_option("#resource", "fleet memory")
        assert page.locator("#optimizer td").last.inner_text() == "advanced at 25 %"
        page.locator("#optimizer td button").last.click()
        page.wait_for_selector("#record[open] >> text=dwcp record dwcp.optimizer.rollout.v1", timeout=10_000)
        page.keyboard.press("Escape")
        page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)


def test_what_is_sent_each_second_is_small(worker: Worker) -> None:
    body = ask(worker.port, "GET", "/api/v3/live/state").body
    assert len(body) < 150_000, len(body)


def test_the_page_shows_what_subscribers_get(worker: Worker) -> None:
    said = state(worker)
    assert said["missing"] == []
    assert said["skipped"] == 0
    settings = Settings.from_environment({"BROKER_URL": worker.broker.address})  # type: ignore[attr-defined]
    with Log(settings, ["dwcp.system.anomaly.v1"]) as log:
        published = [json.loads(record.value or b"") for record in log.read()]
    newest = [one["id"] for one in said["system_anomaly"]]
    assert set(newest) <= {one["id"] for one in published}
    assert len(newest) == min(100, len(published))
    seen = json.loads(ask(worker.port, "GET", f"/api/v3/live/record?id={newest[0]}").body)
    assert seen["value"] in published
    assert seen["origin"].startswith(("dwcp.system.raw.v1/", "dwcp.network.raw.v1/"))


def test_every_decision_is_one_line_of_the_log(worker: Worker) -> None:
    """At debug, and there alone: the lines are the records, in as many."""
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith('{"time"')]
    assert {line["logger"] for line in lines} == {"dwcp.decision"}
    settings = Settings.from_environment({"BROKER_URL": worker.broker.address})  # type: ignore[attr-defined]
    for topic in (COMPRESSION_PREDICTION, NETWORK_FORECAST, SYSTEM_ANOMALY):
        with Log(settings, [topic.name]) as log:
            published = {json.loads(record.value or b"")["id"] for record in log.read()}
        said = {line["id"]: line["decision"] for line in lines if line["kind"] == topic.kind}
        assert said.keys() == published, topic.name
    assert {"amst_action", "amst_reason"} <= next(one for one in lines if one["kind"] == "network.forecast")[
        "decision"
    ].keys()


def test_metrics_name_no_node_and_no_link(worker: Worker) -> None:
    text = worker.get("/metrics")[1]
    node = state(worker)["links"][0].partition(":")[0]
    assert len(node) > 3
    assert node not in text
    assert len(text.splitlines()) < 2500


def test_what_is_asked_of_the_optimizer_is_on_its_topic_and_in_its_status(worker: Worker) -> None:
    answer = ask(worker.port, "POST", OPTIMIZE, json.dumps(ASKED).encode(), traceparent=TRACE)
    said = json.loads(answer.body)
    assert (answer.status, said["status"], said["topic"]) == (202, "accepted", OPTIMIZER_REQUEST.name)
    deadline = time.monotonic() + 10
    while True:
        status = json.loads(ask(worker.port, "GET", f"{OPTIMIZE}/status?scope=fleet").body)
        if said["request_id"] in [one["request_id"] for one in status["requests"]]:
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    assert json.loads(ask(worker.port, "GET", f"{OPTIMIZE}/status?scope=nowhere").body)["requests"] == []
    settings = Settings.from_environment({"BROKER_URL": worker.broker.address})  # type: ignore[attr-defined]
    with Log(settings, [OPTIMIZER_REQUEST.name, SYSTEM_KEYED.name]) as log:
        traced = {r.topic for r in log.read() if dict(r.headers).get("traceparent") == TRACE.encode()}
    assert traced == {OPTIMIZER_REQUEST.name, SYSTEM_KEYED.name}, "the control has the trace of the request"
    found = json.loads(ask(worker.port, "GET", f"{OPTIMIZE}/recommendations").body)
    assert {one["id"] for one in found["recommendations"]} <= {"tuning/1"}, "none of this fleet yet"


def test_the_api_holds_what_its_description_says_whatever_is_sent(worker: Worker) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    base = f"http://127.0.0.1:{worker.port}"
    described = schemathesis.openapi.from_url(f"{base}/api/v3/openapi.json")
    for operation in described.get_all_operations():
        call = operation.ok()

        @given(case=call.as_strategy())
        @settings(max_examples=25, deadline=None, phases=[Phase.generate], derandomize=True,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        def holds(case: Any) -> None:
            case.call_and_validate(base_url=base, excluded_checks=[
                schemathesis.checks.CHECKS.get_one("positive_data_acceptance")])  # fmt: skip

        holds()
    assert worker.get("/health/ready")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/v3/ml/optimize HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /api/v3/ml/optimize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /page/..%2f..%2fapp.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /page/../../app.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v3/live/record?id=%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_without_a_trace_of_our_insides(worker: Worker, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as raw:
        raw.sendall(sent)
        status = raw.recv(65_536)
    assert status[:10] in (b"HTTP/1.1 4", b"HTTP/1.0 4"), status[:100]
    assert b"Traceback" not in status
    assert b"application(" not in status


def test_an_open_page_does_not_hold_up_a_stop(worker: Worker) -> None:
    """Last of all: it ends the worker."""
    with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as raw:
        raw.sendall(b"GET /api/v3/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"text/event-stream" in raw.recv(65_536)
        started = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(20) == 0, worker.tail()
        assert time.monotonic() - started < 10
