"""`dwcp dataset`: a recording as a Parquet file, and what is in one."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from schemas.error import ConfigError
from schemas.header import ERROR_MESSAGE, ERROR_REASON, ORIGIN
from schemas.topic import DEAD_LETTER, INPUTS, KEYED, OUTPUTS, Topic
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.moment import rfc3339
from streams.recording.progress import Show, progress
from streams.recording.run import run
from streams.recording.table import INGESTS
from streams.settings import Settings

_TOPICS = KEYED + OUTPUTS


class _WriteByDefault(click.Group):
    """`dwcp dataset FILE ...` writes, without a word for it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As `write` what begins with no command."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["write", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_WriteByDefault)
def dataset() -> None:
    """Turn recordings into data sets, describe and check them.

    \b
    A recording as Parquet:   dwcp dataset week.jsonl.zst --topic network.features --out features.parquet
    What the sidecar keeps:   dwcp dataset describe data/topics/network.keyed
    Fit to learn from:        dwcp dataset validate data/topics/compression.keyed
    """


@dataset.command("describe")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def describe_(path: Path, as_json: bool) -> None:
    """Rows, times and columns of a Parquet file, or of a folder of them."""
    from offline.dataset.quality import describe

    found = describe(path)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    click.echo(f"{found.topic or path}: {found.rows:,} rows in {found.files:,} files, {found.bytes / 1e6:.1f} MB")
    if found.first_ms is not None and found.last_ms is not None:
        click.echo(f"from {rfc3339(found.first_ms)} to {rfc3339(found.last_ms)}, {found.repeated:,} repeated origins")
    for one in found.columns:
        ends = "" if one.least is None else f"{one.least:.6g} to {one.most:.6g} {one.unit}"
        click.echo(f"  {one.column:30} {one.type:20} {one.missing / max(found.rows, 1):6.1%} missing  {ends}")


@dataset.command("validate")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--missing", default=0.05, show_default=True, type=click.FloatRange(0, 1),
              help="Share of a column that may be missing, at most.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def validate_(path: Path, missing: float, as_json: bool) -> None:
    """Check a data set: rows, repeats, missing values, ranges; exit code 1 when one check fails."""
    from offline.dataset.quality import describe, validate

    findings = validate(describe(path), missing)
    if as_json:
        click.echo(msgspec.json.encode(findings).decode())
    else:
        for one in findings:
            click.echo(f"{'ok  ' if one.passed else 'FAIL'} {one.check:40} {one.found}")
    sys.exit(0 if all(one.passed for one in findings) else 1)


@dataset.command("write")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--topic", required=True, type=click.Choice([t.kind for t in _TOPICS]), metavar="KIND",
              help=f"Whose records: {', '.join(t.kind for t in _TOPICS)}.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Parquet file to write.")
@click.option("--ingest", is_flag=True, help="Make keyed records of the raw ones, as a worker's ingest does.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def write(recording: Path, topic: str, out: Path, ingest: bool, as_json: bool, quiet: bool) -> None:
    """Write one topic's records of a recording as a Parquet file.

    Columns are the fields of the topic's record with their types; unit, range and
    meaning of each stand in its metadata. The column `origin` names the raw record, so
    that features, labels and predictions of different files join. Records that are not
    of the topic's type are left out, counted, and listed on stderr. With DWCP_EXPORT_KEY set, ids of nodes, VMs,
    requests, sessions, events and operators are hashed with it, the same id always to the same hash.

    \b
    What was recorded:     dwcp dataset week.jsonl.zst --topic network.features --out features.parquet
    From raw telemetry:    dwcp dataset fleet.jsonl.zst --topic network.keyed --ingest --out samples.parquet
    Units:                 python -c "import pyarrow.parquet as p; print(p.read_schema('samples.parquet'))"
    """
    try:
        from offline.dataset.parquet import Undecoded, write_parquet
    except ImportError as exc:
        raise ConfigError("dwcp dataset", str(exc), "usable with pyarrow: pip install 'dwcp-streams[data]'") from exc
    began = time.monotonic()
    settings = Settings.from_environment()
    wanted = next(t for t in _TOPICS if t.kind == topic)
    with progress("reading", None, "records", quiet) as show:
        if ingest:
            made, rejected = _ingested(recording, wanted, settings, show)
            written = write_parquet(wanted, made, out, settings.export_key)
            written.undecoded += [Undecoded(*_rejection(record)) for record in rejected]
        else:
            written = write_parquet(wanted, _recorded(recording, wanted, settings, show), out, settings.export_key)
    for place, reason, message in written.undecoded[:10]:
        click.echo(f"dwcp: {place} is left out ({reason}): {message}", err=True)
    summary = {
        "rows": written.rows,
        "left_out": len(written.undecoded),
        "left_out_by_reason": dict(Counter(u.reason for u in written.undecoded)),
        "file": str(out),
        "bytes": out.stat().st_size,
        "elapsed_s": round(time.monotonic() - began, 3),
    }
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    elif not quiet:
        click.echo(f"{written.rows:,} rows to {out}, {len(written.undecoded):,} records left out")


def _recorded(path: Path, topic: Topic, settings: Settings, show: Show) -> Iterator[Recorded]:
    """The topic's records; what else is there is said when there are none."""
    name = settings.name_of(topic)
    others: Counter[str] = Counter()
    found = 0
    for number, record in enumerate(read_recording(path), 1):
        if record.topic == name:
            found += 1
            yield record
        else:
            others[record.topic] += 1
        if number % 10_000 == 0:
            show(number, f"{found:,} of {name}")
    if not found:
        there = ", ".join(sorted(others)) or "nothing"
        hint = "; --ingest makes keyed records of raw ones" if topic in KEYED else ""
        raise ConfigError("--topic", topic.kind, f"a topic that the recording has; it has {there}{hint}")


def _ingested(
    path: Path, topic: Topic, settings: Settings, show: Show
) -> tuple[Sequence[Recorded], Sequence[Recorded]]:
    """Keyed records of the raw ones, and those that ingest rejects."""
    raw = next((t for t in INPUTS if t.dataset == topic.dataset), None)
    if topic not in KEYED or raw is None:
        raise ConfigError("--ingest", topic.kind, f"for {', '.join(t.kind for t in KEYED)} only")
    answers = run([INGESTS[raw]], _recorded(path, raw, settings, show), settings)
    return answers.get(topic, ()), answers.get(DEAD_LETTER, ())


def _rejection(record: Recorded) -> tuple[str, str, str]:
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    return headers[ORIGIN], headers[ERROR_REASON], headers[ERROR_MESSAGE]
