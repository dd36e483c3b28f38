"""`dwcp import`."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from schemas.error import ConfigError, GateFailed, InfraError
from schemas.topic import INPUTS
from streams.recording.column import TIMES
from streams.recording.progress import progress
from streams.recording.sink import Recording
from streams.recording.table import Choice, Rejected, Table, read_table
from streams.settings import Settings
from streams.sink import KafkaSink

_BROKER: Final = re.compile(r"kafka://.*|[A-Za-z0-9._-]+:\d+(,.*)?")
_SLICE: Final = 2_000


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "target", required=True, help="A recording (.jsonl, .gz, .zst, - for stdout), or a broker.")
@click.option("--topic", default="network.raw", show_default=True, type=click.Choice([t.kind for t in INPUTS]),
              help="What the rows are.")  # fmt: skip
@click.option("--time", "time_column", help=f"Column with the time. Default: the first of {', '.join(TIMES)}.")
@click.option("--metric", "metrics", metavar="FIELD=COLUMN[:UNIT]", multiple=True,
              help="Which column a field is; its unit where the header is silent. Repeat for more.")  # fmt: skip
@click.option("--set", "constants", metavar="FIELD=VALUE", multiple=True,
              help="A field that is the same in every row, in its own unit. Repeat for more.")  # fmt: skip
@click.option("--node", help="Short for --set node_id=...")
@click.option("--peer", help="Short for --set peer_id=...")
@click.option("--delimiter", help="Between cells. Default: what the header has most of: , ; tab or |")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path),
              help="Where rejected rows are listed. Default: NAME.rejected.jsonl, here.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Write nothing when a row is rejected; exit code 1.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def import_csv(
    file: Path, target: str, topic: str, time_column: str | None, metrics: Sequence[str], constants: Sequence[str],
    node: str | None, peer: str | None, delimiter: str | None, rejects: Path | None, strict: bool, as_json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Turn a CSV file into records of an input topic.

    Columns named as fields are taken as they are, so the 22-column network training
    file needs no options; --metric names the others. Units stand in the header, as in
    `latency (s)`, or behind the column. Times are ISO 8601, Go's, or numbers; UTC unless
    they say otherwise. Every row is checked as ingest checks it: what it would reject is
    listed with its line and the reason. Records come out in order of time; in a recording
    that is their timestamp, a broker stamps them when they arrive.

    \b
    The training file:   dwcp import network.csv --to network.jsonl.zst
    Any series:          dwcp import ping.csv --to ping.jsonl --node a --peer b --time when
                           --metric rtt_ms=ping:s --metric throughput_mbps=down:Mbit/s
                           --set packet_loss=0 --set jitter_ms=0
    """
    if as_json and target == "-":
        raise click.UsageError("--json prints a summary on stdout, where --to - writes records: name a file.")
    began = time.monotonic()
    settings = Settings.from_environment()
    source = next(t for t in INPUTS if t.kind == topic)
    always = _pairs("--set", constants) | {k: v for k, v in (("node_id", node), ("peer_id", peer)) if v is not None}
    choice = Choice(source, time_column, _pairs("--metric", metrics), always, delimiter)
    table = read_table(file, choice, settings.name_of(source))
    listed = rejects or Path(f"{file.name}.rejected.jsonl")
    if table.rejected:
        _list(listed, table.rejected)
        click.echo(f"dwcp: {len(table.rejected):,} rows are rejected, see {listed}: {_reasons(table)}", err=True)
    if table.rejected and strict:
        raise GateFailed("rows", len(table.records), len(table.records) + len(table.rejected))
    if not table.records:
        why = f"line {table.rejected[0].line}: {table.rejected[0].message}" if table.rejected else "it has no rows"
        raise ConfigError("FILE", str(file), f"a file with at least one usable row; {why}")
    _send(table, target, quiet)
    summary = _summary(table, target, listed, time.monotonic() - began)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    elif not quiet:
        unused = f"; not used: {', '.join(table.plan.unused)}" if table.plan.unused else ""
        click.echo(f"{len(table.records):,} records to {target}{unused}", err=target == "-")


def _send(table: Table, target: str, quiet: bool) -> None:
    to_broker = _BROKER.fullmatch(target) is not None
    sink = KafkaSink(target) if to_broker else Recording(Path(target), option="--to")
    try:
        with progress("importing", len(table.records), "records", quiet or target == "-") as show:
            for first in range(0, len(table.records), _SLICE):
                some = table.records[first : first + _SLICE]
                stamps = [0 if to_broker else r.timestamp_ms for r in some]
                sink.send(some[0].topic, [r.key for r in some], [r.value or b"" for r in some], stamps)
                show(first + len(some), "")
        sink.close()
    except InfraError as exc:
        if isinstance(sink, Recording):
            sink.discard()
            raise
        raise InfraError(f"{exc}; {sink.delivered:,} of {len(table.records):,} records were delivered") from exc
    except BaseException:
        if isinstance(sink, Recording):
            sink.discard()
        raise


def _list(path: Path, rejected: Sequence[Rejected]) -> None:
    try:
        path.write_bytes(msgspec.json.Encoder().encode_lines([r._asdict() for r in rejected]))
    except OSError as exc:
        raise ConfigError("--rejects", str(path), f"a file that can be written ({exc.strerror})") from exc


def _reasons(table: Table) -> str:
    counts = Counter(r.reason for r in table.rejected)
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common())


def _summary(table: Table, target: str, listed: Path, elapsed_s: float) -> dict[str, Any]:
    return {
        "records": len(table.records),
        "rejected": len(table.rejected),
        "rejected_by_reason": dict(Counter(r.reason for r in table.rejected)),
        "rejects": str(listed) if table.rejected else None,
        "columns": {source.field: source.column for source in table.plan.sources},
        "unused": list(table.plan.unused),
        "first_ms": table.records[0].timestamp_ms,
        "last_ms": table.records[-1].timestamp_ms,
        "to": target,
        "elapsed_s": round(elapsed_s, 3),
    }


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(option, text, "FIELD=..., for example rtt_ms=ping")
        found[name.strip()] = value
    return found
