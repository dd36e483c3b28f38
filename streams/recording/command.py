"""`dwcp record` and `dwcp replay`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from schemas.error import ConfigError
from schemas.topic import FOREVER, TOPICS
from streams.recording.file import STDOUT, RecordingFile, read_recording
from streams.recording.log import Log, resolve
from streams.recording.moment import MOMENT, rfc3339
from streams.recording.progress import progress
from streams.recording.record import Tally, Window
from streams.recording.record import record as record_topics
from streams.recording.replay import BrokerTarget, FileTarget, Survey, Target, survey
from streams.recording.replay import replay as replay_records
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.stop import stoppable

_HOUR_MS: Final = 3_600_000


@click.command()
@click.argument("topics", metavar="TOPIC...", nargs=-1, required=True)
@click.option("--out", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), required=True,
              help="File to write; .gz and .zst compress. - is standard output.")  # fmt: skip
@click.option("--since", type=MOMENT, help="Leave out what the broker holds as older: RFC 3339, or 2h for 2 hours ago.")
@click.option("--until", type=MOMENT, help="Leave out what is not older than this.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many records.")
@click.option("--follow", is_flag=True, help="Go on with what comes after the present end, until Ctrl-C or --limit.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def record(
    topics: Sequence[str], out: Path, since: int | None, until: int | None, limit: int | None, follow: bool,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write topics to a file, with keys, headers, timestamps, partitions and offsets.

    TOPIC is a name on the broker or a kind such as network.raw. The broker is taken
    from BROKER_URL. Lines are what `kcat -J` prints, ordered by timestamp, then topic,
    partition and offset: recording twice what has not changed gives the same bytes.
    The file appears when it is whole. Ctrl-C ends it early, and whole.

    \b
    Yesterday's samples:     dwcp record network.raw --since 1d --out samples.jsonl.zst
    What a worker answers:   dwcp record network.forecast compression.prediction --out - | jq .payload
    As it comes:             dwcp record system.anomaly --since now --follow --out anomalies.jsonl.gz
    """
    if as_json and out == STDOUT:
        raise click.UsageError("--json prints a summary on stdout, where --out - writes records: name a file.")
    settings = Settings.from_environment()
    began = time.monotonic()
    with (
        Log(settings, resolve(topics, settings), since) as log,
        RecordingFile(out) as file,
        stoppable() as stopped,
        progress("recording", log.offsets, "offsets", quiet) as show,
    ):
        window = Window(since, until, limit)
        tally = record_topics(log, file, window, follow, stopped, lambda done, n: show(done, f"{n:,} records"))
        interrupted = stopped()
    summary = _recorded(tally, out, time.monotonic() - began, interrupted)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    elif not quiet:
        click.echo(_sentence(summary, "to", out), err=out == STDOUT)


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--to", "target", required=True, help="Broker, e.g. kafka://127.0.0.1:9092, or - for standard output.")
@click.option(
    "--speed", default="max", show_default=True, help="Recorded seconds per second: 1, 10, any number, or max."
)
@click.option(
    "--topic-map", "pairs", metavar="OLD=NEW", multiple=True, help="Send a topic's records to another. Repeat for more."
)
@click.option("--timestamps", type=click.Choice(["original", "now"]), default="original", show_default=True,
              help="Kafka timestamps. Brokers delete what is older than a topic's retention.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many records.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def replay(
    file: Path, target: str, speed: str, pairs: Sequence[str], timestamps: str, limit: int | None, as_json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Send a recording to a broker, or print it.

    Keys, values, headers (and with them origins) and timestamps are the recorded ones,
    and so are partitions where the topic has as many; else the key decides. Offsets are
    the broker's. The file is read to its end first: of a damaged one nothing is sent.
    Doing it twice sends everything twice.

    \b
    As fast as it goes:       dwcp replay samples.jsonl.zst --to kafka://127.0.0.1:9092
    Ten times as fast:        dwcp replay samples.jsonl.zst --to kafka://127.0.0.1:9092 --speed 10
    Beside the real topic:    dwcp replay samples.jsonl.zst --to broker:9092 --topic-map network.raw=trial
    Look at it:               dwcp replay samples.jsonl.zst --to - --limit 10
    """
    if as_json and target == "-":
        raise click.UsageError("--json prints a summary on stdout, where --to - writes records: choose one.")
    pace = _speed(speed)
    topics = _topic_map(pairs, Settings.from_environment())
    found = survey(file, limit)
    began = time.monotonic()
    to = _target(target, found, topics, timestamps == "original", quiet)
    with stoppable() as stopped, progress("replaying", found.records, "records", quiet or target == "-") as show:
        sent = replay_records(read_recording(file, limit), to, pace, stopped, lambda n: show(n, ""))
        interrupted = stopped()
    elapsed_s = time.monotonic() - began
    summary = {
        "records": sent,
        "of": found.records,
        "topics": {topic: topics.get(topic, topic) for topic in sorted(found.partitions)},
        "placed_by_key": sorted(to.placed_by_key) if isinstance(to, BrokerTarget) else [],
        "elapsed_s": round(elapsed_s, 3),
        "records_per_second": round(sent / max(elapsed_s, 1e-3), 1),
        "interrupted": interrupted,
    }
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    elif not quiet and target != "-":
        click.echo(f"{sent:,} of {found.records:,} records to {target} in {elapsed_s:.1f} s, all delivered")


def _target(target: str, found: Survey, topics: dict[str, str], keep_time: bool, quiet: bool) -> Target:
    if target == "-":
        return FileTarget(RecordingFile(STDOUT), topics)
    to = BrokerTarget(KafkaSink(target), found, topics, keep_time)
    warnings = [
        f"{topics.get(old, old)} has {n} partitions and the recording used {found.partitions[old]}: "
        f"its records are placed by key"
        for old, n in to.placed_by_key.items()
    ]
    if keep_time:
        warnings += _time_warnings(found, topics)
    for warning in warnings if not quiet else ():
        click.echo(f"dwcp: {warning}", err=True)
    return to


def _time_warnings(found: Survey, topics: dict[str, str]) -> list[str]:
    """What a broker will do to timestamps that are far from now."""
    now_ms = time.time_ns() // 1_000_000
    names = {topics.get(old, old) for old in found.partitions}
    settings = Settings.from_environment()
    kept_ms = {settings.name_of(t): t.retention_ms for t in TOPICS if t.retention_ms != FOREVER}
    short = [name for name in sorted(names) if found.first_ms < now_ms - kept_ms.get(name, now_ms)]
    warnings = []
    if short:
        warnings.append(
            f"the oldest record is of {rfc3339(found.first_ms)}: the broker will soon delete what is older than "
            f"the retention of {', '.join(short)}; --timestamps now keeps it"
        )
    if found.last_ms > now_ms + _HOUR_MS:
        warnings.append(
            f"the newest record is of {rfc3339(found.last_ms)}: brokers refuse what is more than an hour ahead; "
            f"--timestamps now is taken"
        )
    return warnings


def _recorded(tally: Tally, out: Path, elapsed_s: float, interrupted: bool) -> dict[str, Any]:
    return {
        "records": tally.total,
        "records_by_topic": dict(sorted(tally.records.items())),
        "first_ms": tally.first_ms,
        "last_ms": tally.last_ms,
        "file": str(out),
        "bytes": out.stat().st_size if out != STDOUT else None,
        "elapsed_s": round(elapsed_s, 3),
        "interrupted": interrupted,
    }


def _sentence(summary: dict[str, Any], preposition: str, out: Path) -> str:
    lines = [f"{summary['records']:,} records {preposition} {out} in {summary['elapsed_s']:.1f} s"]
    if summary["records"]:
        lines[0] += f", {rfc3339(summary['first_ms'])} to {rfc3339(summary['last_ms'])}"
    lines += [f"  {topic:32s} {count:>12,}" for topic, count in summary["records_by_topic"].items()]
    return "\n".join(lines)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError("--speed", text, "a number above 0, or max")
    return value


def _topic_map(pairs: Sequence[str], settings: Settings) -> dict[str, str]:
    topics = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise ConfigError("--topic-map", pair, "OLD=NEW, names or kinds such as network.raw")
        topics[resolve([old], settings)[0]] = resolve([new], settings)[0]
    return topics
