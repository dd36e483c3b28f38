"""`dwcp simulate`: a fleet that feeds a broker or fills a recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from offline.simulator.bank import Bank, Source, open_bank
from offline.simulator.fault import DATASETS, read_faults
from offline.simulator.feed import Pace, Sent, feed, record
from offline.simulator.fleet import START_MS, Fleet, FleetPlan
from offline.simulator.host import PERIOD_MS
from offline.simulator.link import MINUTE_MS
from offline.simulator.sink import Sink
from schemas.error import ConfigError, DwcpError, InfraError
from schemas.topic import COMPRESSION_RAW, NETWORK_RAW, SYSTEM_RAW
from streams.recording.sink import Recording
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.stop import stoppable

ENDLESS_S: Final = 30 * 86_400.0
"""How much event time a broker is fed when nobody says: 30 days."""

RECORDING_S: Final = 3_600.0
TRANSFERS: Final = 1.0
RATE_SPEED: Final = 120.0
"""Event time per second when only a rate is given: 15 minutes ahead are 7.5 s away."""


@click.command(epilog="Faults, traces and formulas are described at the top of the modules in offline/simulator.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Seed of everything random.")
@click.option("--seconds", type=click.FloatRange(1, 366 * 86_400.0),
              help="Event time to cover. Default: 3600 for a recording, 30 days for a broker.")  # fmt: skip
@click.option("--links", default=64, show_default=True, type=click.IntRange(1, 100_000),
              help="Links; dc, metro, wan and edge in turn.")  # fmt: skip
@click.option("--nodes", type=click.IntRange(1, 100_000), help="Hosts. Default: half as many as links.")
@click.option("--transfers", type=click.FloatRange(0, 1000),
              help="Transfers per second and link. Default: 1, or what fits --rate and --speed.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write a recording (JSON lines as kcat -J; .zst and .gz compress).")  # fmt: skip
@click.option("--to", "broker", help="Feed a broker, e.g. kafka://127.0.0.1:9092.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Events per second of wall clock.")
@click.option("--speed", help="Seconds of event time per second of wall clock, or max. Default: 1; 120 with --rate.")
@click.option("--start", help="Event time of the first record: RFC 3339 or now. Default: 2026-01-05T00:00:00Z.")
@click.option("--only", help=f"Which datasets, separated by commas: {', '.join(DATASETS)}. Default: all.")
@click.option("--keyless", default=0.0, show_default=True, type=click.FloatRange(0, 1),
              help="Share of hosts whose client sends no keys.")  # fmt: skip
@click.option("--faults", default="none", show_default=True, help="none, random, or a JSON file of faults.")
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path),
              help="Write what really happened, as JSON lines, for scoring.")  # fmt: skip
@click.option("--traces", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of real series that drive links and hosts.")  # fmt: skip
@click.option("--bank", "bank_path", type=click.Path(dir_okay=False, path_type=Path),
              help="File of the measured payloads. Default: in the user's cache.")  # fmt: skip
@click.option("--payloads", default="all", show_default=True, type=click.Choice(["all", "generated"]),
              help="Measure files found on this machine too, or generated payloads only.")  # fmt: skip
@click.option("--rebuild-bank", is_flag=True, help="Measure the payloads anew.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def simulate(
    seed: int, seconds: float | None, links: int, nodes: int | None, transfers: float | None, out: Path | None,
    broker: str | None, rate: float | None, speed: str | None, start: str | None, only: str | None, keyless: float,
    faults: str, truth: Path | None, traces: Path | None, bank_path: Path | None, payloads: Source,
    rebuild_bank: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Send what a fleet of hosts and links would send.

    Links follow a documented model (level by type, daily and weekly cycle,
    autocorrelated residuals, congestion, failures), AMST goes as fast as TCP can,
    and HDE does what was measured on real bytes. The same seed, arguments and bank
    give the same records.

    \b
    A recording of an hour:        dwcp simulate --out fleet.jsonl.zst
    Feed a broker in real time:    dwcp simulate --to kafka://127.0.0.1:9092
    8000 events/s, with faults:    dwcp simulate --to kafka://127.0.0.1:9092 --rate 8000 --faults random
    A week of links only:          dwcp simulate --out week.jsonl.gz --seconds 604800 --only network
    """
    if (out is None) == (broker is None):
        raise click.UsageError("Say where to: --out FILE for a recording, or --to BROKER.")
    if out is not None and (rate is not None or speed is not None):
        raise click.UsageError("--rate and --speed pace a broker's feed; a recording has no clock.")
    plan = FleetPlan(
        seed=seed,
        seconds=seconds or (RECORDING_S if out is not None else ENDLESS_S),
        links=links,
        nodes=nodes or max(links // 2, 1),
        start_ms=_start(start),
        keyless=keyless,
        datasets=_datasets(only),
        faults="random" if faults == "random" else () if faults == "none" else read_faults(Path(faults)),
        traces=traces,
    )
    pace = _pace(rate, speed)
    plan = replace(plan, transfers=_transfers(plan, pace, rate, transfers))
    if out is None:
        pace = pace._replace(speed=None) if rate is not None else pace
    if truth is not None:
        _write_truth(truth, b"")
    bank = open_bank(bank_path, payloads, rebuild_bank)
    summary, fleet = _run(plan, bank, out, broker, pace, quiet)
    if truth is not None:
        _write_truth(truth, msgspec.json.Encoder().encode_lines(fleet.truth()))
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        click.echo(_sentence(summary))


def _run(
    plan: FleetPlan, bank: Bank, out: Path | None, broker: str | None, pace: Pace, quiet: bool
) -> tuple[dict[str, Any], Fleet]:
    began = time.monotonic()
    names: dict[str, str] = {}
    if broker is not None:
        settings = Settings.from_environment()
        names = {t.dataset: settings.name_of(t) for t in (NETWORK_RAW, COMPRESSION_RAW, SYSTEM_RAW)}
    fleet = Fleet(plan, bank, names)
    sink = Recording(out) if out is not None else KafkaSink(str(broker))
    with stoppable() as stopped, _progress(plan, quiet) as progress, _closing(sink):
        send = partial(record, fleet, sink) if out is not None else partial(feed, fleet, sink, pace)
        sent = send(stopped, progress)
        interrupted = stopped()
    elapsed_s = time.monotonic() - began
    events = sum(sent.events.values())
    summary = {
        "seed": plan.seed,
        "bank": bank.fingerprint,
        "start_ms": plan.start_ms,
        "end_ms": fleet.reached_ms,
        "links": plan.links,
        "nodes": plan.nodes,
        "transfers_per_link_s": round(plan.transfers, 4),
        "events": events,
        "events_by_topic": dict(sorted(sent.events.items())),
        "bytes_by_topic": dict(sorted(sent.value_bytes.items())),
        "ceiling": fleet.ceiling(),
        "elapsed_s": round(elapsed_s, 3),
        "events_per_second": round(events / max(elapsed_s, 1e-3), 1),
        "behind_ms_max": round(1000 * sent.behind_s, 1),
        "interrupted": interrupted,
    }
    return summary, fleet


def _start(text: str | None) -> int:
    if text is None:
        return START_MS
    if text == "now":
        return int(time.time() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--start", text, "RFC 3339, e.g. 2026-01-05T00:00:00Z, or now") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return int(moment.timestamp() * 1000)


def _datasets(text: str | None) -> tuple[str, ...]:
    if text is None:
        return DATASETS
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in DATASETS:
            raise ConfigError("--only", name, f"some of {', '.join(DATASETS)}")
    if not names:
        raise ConfigError("--only", text, f"at least one of {', '.join(DATASETS)}")
    return tuple(name for name in DATASETS if name in names)


def _pace(rate: float | None, speed: str | None) -> Pace:
    if speed == "max":
        return Pace(rate)
    if speed is None:
        return Pace(rate, RATE_SPEED if rate is not None else 1.0)
    try:
        value = float(speed)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError("--speed", speed, "a number above 0, or max")
    return Pace(rate, value)


def _transfers(plan: FleetPlan, pace: Pace, rate: float | None, asked: float | None) -> float:
    """Transfers per second and link: as asked, or so many that rate and speed both hold."""
    if asked is not None:
        return asked
    if rate is None or pace.speed is None or "compression" not in plan.datasets:
        return TRANSFERS
    others = 0.0
    if "network" in plan.datasets:
        others += plan.links / (MINUTE_MS / 1000)
    if "system" in plan.datasets:
        others += plan.nodes / (PERIOD_MS / 1000)
    room = rate / pace.speed - others
    if room <= 0:
        least = others * pace.speed
        allowed = f"above {least:.0f}, what samples and metrics alone make at speed {pace.speed:g}; or a lower --speed"
        raise ConfigError("--rate", rate, allowed)
    return room / plan.links


def _write_truth(path: Path, lines: bytes) -> None:
    try:
        path.write_bytes(lines)
    except OSError as exc:
        raise InfraError(f"cannot write the truth file {path}: {exc.strerror}") from exc


@contextmanager
def _closing(sink: Sink) -> Iterator[None]:
    """Close the sink; after an error a recording is removed, and no error while closing hides the first."""
    try:
        yield
    except BaseException:
        with suppress(DwcpError):
            sink.discard() if isinstance(sink, Recording) else sink.close()
        raise
    sink.close()


@contextmanager
def _progress(plan: FleetPlan, quiet: bool) -> Iterator[Callable[[Fleet, Sent], None]]:
    console = Console(stderr=True)
    columns = (
        TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TextColumn("s of event time"),
        TextColumn("{task.fields[events]:,} events"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("simulating", total=round(plan.seconds), events=0)

        def show(fleet: Fleet, sent: Sent) -> None:
            done = (fleet.reached_ms - plan.start_ms) // 1000
            bar.update(task, completed=done, events=sum(sent.events.values()))

        yield show


def _sentence(summary: dict[str, Any]) -> str:
    lines = [
        f"{summary['events']:,} events in {summary['elapsed_s']:.1f} s "
        f"({summary['events_per_second']:,.0f}/s), seed {summary['seed']}, bank {summary['bank']}"
    ]
    lines += [f"  {topic:26s} {count:>12,}" for topic, count in summary["events_by_topic"].items()]
    selector = summary["ceiling"]["selector"]
    if selector is not None:
        accuracy, majority = selector["accuracy"], selector["majority"]
        lines.append(f"best reachable selector accuracy {accuracy:.3f} (majority {majority:.3f})")
    forecast = summary["ceiling"]["forecast"]
    if forecast is not None:
        for type_, table in ((k, v) for k, v in forecast.items() if k != "scored"):
            row = table["throughput_mbps"]
            lines.append(
                f"best reachable bandwidth MAE 15 min ahead, {type_:5s} {row['mae']:>8g} Mbps "
                f"(persistence {row['mae_persistence']:g})"
            )
    return "\n".join(lines)
