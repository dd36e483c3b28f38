"""`dwcp demo`: the whole product in one command."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live

from schemas.error import ConfigError, InfraError
from schemas.topic import IN_USE, INPUTS
from streams.demo.audit import Audit
from streams.demo.plot import check_plot
from streams.demo.process import READY_S, Process, free_port, require_free, wait_ready, worker_environment
from streams.demo.scenario import LIMIT_S, SCENARIOS, Asked
from streams.demo.scenario import run as run_scenario
from streams.demo.score import Fault, score_faults
from streams.demo.stage import NotShown
from streams.demo.view import Rates, closing, line, screen, told
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from streams.stop import stoppable

# The embedded broker answers a fetch with one batch per partition, so few partitions matter more here than with Kafka.
_PARTITIONS = 4
_ANY_BROKER = "127.0.0.1:9092"  # overridden: the demo brings its own
_DRAIN_S = 180.0
_REFRESH_S = 1.0
_LINE_S = 5.0
_SPEED = 300
_NODES = 24


@dataclass(frozen=True, slots=True)
class _Fleet:
    seed: int
    links: int
    nodes: int
    rate: int
    speed: int
    faults: str

    def arguments(self, broker: str, truth: Path) -> list[str]:
        return [
            "streams.cli", "simulate", "--to", broker, "--seed", str(self.seed), "--links", str(self.links),
            "--nodes", str(self.nodes), "--rate", str(self.rate), "--speed", str(self.speed), "--faults", self.faults,
            "--truth", str(truth), "--json",
        ]  # fmt: skip


@click.command()
@click.option("--seconds", type=click.IntRange(min=1), help="Feed for so long, then end. Default: until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, and nothing else on stdout.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Seed of the simulated fleet.")
@click.option("--links", default=120, show_default=True, type=click.IntRange(min=1), help="Links in the fleet.")
@click.option("--nodes", type=click.IntRange(min=2), help="Hosts in the fleet. Default: 24, or a scenario's own.")
@click.option("--rate", default=2500, show_default=True, type=click.IntRange(min=1), help="Input events per second.")
@click.option(
    "--speed", type=click.IntRange(min=1), help="Event time per second, in s. Default: 300, or a scenario's own."
)
@click.option("--faults", default="random", show_default=True, help="Fault schedule: random, none or a JSON file.")
@click.option("--web-port", type=click.IntRange(0, 65535), help="Port of metrics and health; 0 picks a free one.")
@click.option(
    "--scenario", type=click.Choice(list(SCENARIOS)), help="Play a story with the sidecar and end; see below."
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw a scenario's course to this file.")
@click.option("--bootstrap", help="A Kafka broker for a scenario, on topics of its own. Default: the embedded one.")
def demo(
    seconds: int | None,
    as_json: bool,
    seed: int,
    links: int,
    nodes: int | None,
    rate: int,
    speed: int | None,
    faults: str,
    web_port: int | None,
    scenario: str | None,
    plot: Path | None,
    bootstrap: str | None,
) -> None:
    """See predictions flow on one machine, without Kafka, Java or Docker.

    Starts an embedded broker (librdkafka's mock cluster: real protocol, in memory,
    for trying things only), a real `faust -A app worker`, and a simulated fleet that
    sends compression telemetry, network samples and system metrics. A subscriber
    reads every topic, scores the predictions against what then happened, and
    accounts for every input: `lost` must be 0.

    Event time runs faster than the clock, so that forecasts meet the sample that
    came 15 minutes later within seconds.

    A scenario runs with fleet and sidecar of its own (of the options --seconds, at most 300 by default, --json,
    --seed, --nodes, --speed, --plot and --bootstrap hold), says on stderr what happens as it happens, and exits with 1
    when what it is to show did not happen:

    \b
    drift     a regime changes: alert, retraining, gate, promotion, accuracy falls and recovers
    poison    bad versions (NaN, wrong features, tampered, slow, worse) are refused or taken back
    growth    disks of some nodes fill up: rollups, forecasts, URGENT two weeks or more before they are full
    tuning    parameters are recommended and rolled out: faster than nodes without; a bad one is taken back
    """
    if scenario is not None:
        _play(scenario, Asked(seed, plot, speed, nodes), bootstrap, seconds or LIMIT_S, as_json)
        return
    if plot is not None or bootstrap is not None:
        raise click.UsageError("--plot and --bootstrap go with --scenario.")
    settings = Settings.from_environment({**os.environ, "BROKER_URL": _ANY_BROKER})
    if faults not in ("random", "none") and not Path(faults).is_file():
        raise ConfigError("--faults", faults, "random, none or a JSON file")
    port = _free_web_port(web_port, settings.web_port)
    fleet = _Fleet(seed, links, nodes or _NODES, rate, speed or _SPEED, faults)
    work = Path(tempfile.mkdtemp(prefix="dwcp-demo-"))
    with EmbeddedBroker(settings, partitions=_PARTITIONS) as broker:
        summary = _run(broker.address, fleet, port, seconds, work, quiet=as_json)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(closing(summary))
    if summary["lost"]:
        raise InfraError(f"{summary['lost']} inputs have neither outputs nor a dead letter; logs are in {work}")


def _play(name: str, asked: Asked, bootstrap: str | None, limit_s: float, as_json: bool) -> None:
    if asked.plot is not None:
        check_plot(asked.plot)
    summary = run_scenario(name, asked, bootstrap, limit_s)
    click.echo(json.dumps(summary) if as_json else told(summary))
    if summary["lost"]:
        raise InfraError(f"{summary['lost']} inputs have neither outputs nor a dead letter; logs: {summary['logs']}")
    if summary["not_shown"]:
        raise NotShown(f"{name}: {summary['not_shown']}; logs: {summary['logs']}")


def _free_web_port(asked: int | None, usual: int) -> int:
    if asked == 0:
        return free_port()
    if asked is not None:
        require_free(asked, "--web-port")
        return asked
    try:
        require_free(usual, "--web-port")
    except ConfigError:
        port = free_port()
        click.echo(f"port {usual} is taken; metrics and health are on {port}", err=True)
        return port
    return usual


def _run(broker: str, fleet: _Fleet, port: int, seconds: int | None, work: Path, quiet: bool) -> dict[str, Any]:
    address = f"http://127.0.0.1:{port}"
    environment = {"BROKER_URL": f"kafka://{broker}", **worker_environment(port)}
    click.echo("starting the worker (compiles its kernels the first time) ...", err=True)
    truth = work / "truth.jsonl"
    audit = Audit(Settings.from_environment({**os.environ, **environment}))
    worker = Process("worker", ["faust", "-A", "app", "worker"], work / "worker.log", environment)
    simulator = None
    try:
        with stoppable() as stopped:
            wait_ready(worker, address, READY_S, stopped)
            if stopped():
                raise click.Abort
            simulator = Process("simulator", fleet.arguments(broker, truth), work / "simulator.log")
            started = time.monotonic()
            _watch(audit, [worker, simulator], seconds, stopped, _addresses(broker, address, work), quiet)
        simulator.stop()
        fed_s = time.monotonic() - started
        lost = audit.drain(_DRAIN_S)
        exit_code = worker.stop()
        summary = _summary(audit, fed_s, lost) | {"worker_exit_code": exit_code, "seed": fleet.seed, "logs": str(work)}
        summary["faults"] = score_faults(_truth(truth), audit.anomalies)
        if simulator.stdout():
            summary["simulator"] = json.loads(simulator.stdout())
            summary["selector"]["ceiling"] = (summary["simulator"]["ceiling"]["selector"] or {}).get("accuracy")
        return summary
    finally:
        if simulator is not None:
            simulator.stop()
        worker.stop()
        audit.close()


def _truth(path: Path) -> list[Fault]:
    return msgspec.json.Decoder(Fault).decode_lines(path.read_bytes()) if path.exists() else []


def _watch(
    audit: Audit,
    processes: list[Process],
    seconds: int | None,
    stopped: Callable[[], bool],
    addresses: str,
    quiet: bool,
) -> None:
    started = last = time.monotonic()
    rates = Rates()
    console = Console(stderr=True)
    full_screen = console.is_terminal and not quiet
    with Live(console=console, screen=full_screen, auto_refresh=False) if full_screen else _nothing() as live:
        if live is None:
            click.echo(addresses, err=True)
        while not stopped() and (seconds is None or time.monotonic() - started < seconds):
            audit.poll(0.1)
            for process in processes:
                process.check()
            now = time.monotonic()
            if live is not None and now - last > _REFRESH_S:
                last = now
                live.update(screen(audit, rates.look(audit.events, now), addresses, audit.lost()), refresh=True)
            elif live is None and now - last > _LINE_S:
                last = now
                click.echo(line(_summary(audit, now - started, 0)), err=True)


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _summary(audit: Audit, fed_s: float, lost: int) -> dict[str, Any]:
    elapsed_s = fed_s
    if audit.first_input_ms is not None and audit.last_output_ms is not None:
        elapsed_s = (audit.last_output_ms - audit.first_input_ms) / 1000
    by_type: dict[str, int] = {}
    for anomaly in audit.anomalies:
        by_type[anomaly.anomaly_type] = by_type.get(anomaly.anomaly_type, 0) + 1
    return {
        "events_in": audit.events_in,
        "events_in_by_topic": {topic.name: audit.events[topic] for topic in INPUTS},
        "events_out": {topic.name: audit.events[topic] for topic in IN_USE if topic not in INPUTS},
        "events_per_second": audit.events_in / max(elapsed_s, 1e-3),
        "elapsed_s": elapsed_s,
        "latency_ms": audit.latency_ms(),
        "selector": audit.selector.summary(),
        "bandwidth": audit.bandwidth.summary(),
        "anomalies": len(audit.anomalies),
        "anomalies_by_type": by_type,
        "drift_alerts": len(audit.drift_alerts),
        "dead_letters": sum(audit.dead_letters.values()),
        "dead_letters_by_reason": dict(audit.dead_letters),
        "late": audit.late,
        "repeats": audit.repeats,
        "lost": lost,
    }


def _addresses(broker: str, address: str, work: Path) -> str:
    return (
        f"broker    {broker}   (embedded: in memory, gone when the demo ends)\n"
        f"metrics   {address}/metrics      health {address}/health/ready\n"
        f"logs      {work}\n"
        f"subscribe kcat -b {broker} -t dwcp.compression.prediction.v1 -C   (or any Kafka client)\n"
        f"stop      Ctrl-C"
    )
