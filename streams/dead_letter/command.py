"""`dwcp dead-letters`: list, show and replay what was rejected."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeVar

import click

from schemas.error import ConfigError
from schemas.header import ERROR
from schemas.topic import DEAD_LETTER
from streams.dead_letter.letter import Filter, Letter, parse_place
from streams.dead_letter.note import key_of, read_notes
from streams.dead_letter.replay import Replayed, due
from streams.dead_letter.replay import replay as replay_letters
from streams.recording.log import Log, Place, resolve
from streams.recording.moment import MOMENT, rfc3339
from streams.recording.progress import progress
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.stop import stoppable

F = TypeVar("F", bound=Callable[..., Any])

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _filters(command: F) -> F:
    for option in reversed(
        (
            click.option("--reason", "reasons", multiple=True, help="Rejected for this, e.g. range. Repeat for more."),
            click.option("--stage", "stages", multiple=True, help="Rejected by this agent, e.g. network-ingest."),
            click.option("--topic", "topics", multiple=True, help="Read from this topic: a name, or a kind."),
            click.option("--since", type=MOMENT, help="Rejected since: RFC 3339, or 2h for 2 hours ago."),
        )
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show and replay what was rejected.

    A dead letter is a record as it was received, with headers that say where it was
    read and why it was rejected. The broker is taken from BROKER_URL.
    """


@dead_letters.command("list")
@_filters
@click.option("--limit", default=10, show_default=True, type=click.IntRange(0), help="How many of the newest to show.")
@_as_json
def list_(
    reasons: Sequence[str], stages: Sequence[str], topics: Sequence[str], since: int | None, limit: int, as_json: bool
) -> None:
    """How many there are by reason, agent and topic, and the newest."""
    settings = Settings.from_environment()
    wanted = Filter(reasons, stages, resolve(topics, settings), since)
    notes = read_notes(settings)
    total: Counter[tuple[str, str, str]] = Counter()
    replayed: Counter[tuple[str, str, str]] = Counter()
    last: dict[tuple[str, str, str], int] = {}
    newest: deque[Letter] = deque(maxlen=limit)
    with Log(settings, [settings.name_of(DEAD_LETTER)], since) as log:
        for letter in filter(wanted.holds, map(Letter.of, log.read())):
            group = letter.reason, letter.stage, letter.source[0]
            total[group] += 1
            replayed[group] += key_of(letter) in notes
            last[group] = max(last.get(group, 0), letter.record.timestamp_ms)
            newest.append(letter)
    groups = [
        {"reason": g[0], "stage": g[1], "topic": g[2], "count": n, "replayed": replayed[g], "newest": rfc3339(last[g])}
        for g, n in total.most_common()
    ]
    shown = [letter.summary() | {"replayed": key_of(letter) in notes} for letter in reversed(newest)]
    if as_json:
        document = {"count": total.total(), "replayed": replayed.total(), "groups": groups, "newest": shown}
        click.echo(json.dumps(document, indent=1))
        return
    click.echo(f"{total.total():,} dead letters, {replayed.total():,} of them replayed")
    for row in groups:
        click.echo(
            "{count:>9,}  {reason:14} {stage:18} {topic:26} {replayed:>7,} replayed, newest {newest}".format(**row)
        )
    if shown:
        click.echo("newest, for `dwcp dead-letters show PLACE`:")
    for row in shown:
        click.echo("  {place:>10}  {time}  {reason:14} {source}  {message}".format(**row))


@dead_letters.command()
@click.argument("place")
@_as_json
def show(place: str, as_json: bool) -> None:
    """One dead letter: why and where it was rejected, its headers and its bytes.

    PLACE is partition/offset in the dead-letter topic, as `list` prints it. Bytes are
    shown as text where they are UTF-8, else as hex.
    """
    settings = Settings.from_environment()
    partition, offset = parse_place(place)
    name = settings.name_of(DEAD_LETTER)
    with Log(settings, [name]) as log:
        record = log.one(Place(name, partition), offset)
    if record is None:
        raise ConfigError("PLACE", place, f"the place of a record in {name}: see `dwcp dead-letters list`")
    letter = Letter.of(record)
    document = letter.summary() | {
        "replayed": key_of(letter) in read_notes(settings),
        "key": _shown(record.key),
        "headers": {n: _shown(v) for n, v in record.headers if n not in ERROR},
        "value": _shown(record.value),
        "value_bytes": len(record.value or b""),
        "obstacle": letter.obstacle(settings) or None,
    }
    if as_json:
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    headers = document.pop("headers")
    for field, value in document.items():
        click.echo(f"{field:12} {_words(value)}")
    for field, value in headers.items():
        click.echo(f"header       {field}: {_words(value)}")


@dead_letters.command()
@_filters
@click.option("--place", "places", multiple=True, help="This one, as `list` prints it. Repeat for more.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest first.")
@click.option("--again", is_flag=True, help="Also what was replayed before.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@_as_json
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def replay(
    reasons: Sequence[str], stages: Sequence[str], topics: Sequence[str], since: int | None, places: Sequence[str],
    limit: int | None, again: bool, dry_run: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Send dead letters back to the topics they were read from.

    Key, value and the record's own headers are untouched; `dwcp-replayed-from` names the
    dead letter. What was replayed is noted on the broker, so that a second replay sends
    nothing twice, whoever runs it, unless --again; a crash may repeat the 500 it was
    working on. What is rejected once more becomes a new dead letter.

    \b
    After a fix:       dwcp dead-letters replay --reason enum --stage network-ingest --dry-run
                       dwcp dead-letters replay --reason enum --stage network-ingest
    """
    settings = Settings.from_environment()
    for place in places:
        parse_place(place)
    wanted = Filter(reasons, stages, resolve(topics, settings), since, places)
    notes = set() if again else read_notes(settings)
    done = Replayed()
    with (
        Log(settings, [settings.name_of(DEAD_LETTER)], since) as log,
        stoppable() as stopped,
        nullcontext() if dry_run else progress("replaying", limit or log.offsets, "letters", quiet) as bar,
    ):
        letters = islice(due(log, settings, wanted, notes, done, stopped), limit)
        if dry_run:
            done.sent.update((letter.reason, letter.source[0]) for letter in letters)
        else:
            sink = KafkaSink(settings.bootstrap)
            replay_letters(letters, sink, settings, done, lambda n: bar and bar(n, ""))
    _report(done, dry_run, as_json)


def _report(done: Replayed, dry_run: bool, as_json: bool) -> None:
    groups = [{"reason": r, "topic": t, "count": n} for (r, t), n in done.sent.most_common()]
    left = [{**letter.summary(), "obstacle": obstacle} for letter, obstacle in done.obstacles]
    if as_json:
        document = {"dry_run": dry_run, "replayed": done.total, "groups": groups, "before": done.before, "left": left}
        click.echo(json.dumps(document, indent=1))
        return
    verb = "would be replayed" if dry_run else "replayed"
    before = f", {done.before:,} were before" if done.before else ""
    click.echo(f"{done.total:,} dead letters {verb}{before}")
    for row in groups:
        click.echo("{count:>9,}  {reason:14} to {topic}".format(**row))
    for row in left:
        click.echo("dwcp: {place} is not replayed: {obstacle}".format(**row), err=True)


def _shown(data: bytes | None) -> str | dict[str, str] | None:
    """Bytes as text, or marked as hex."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex(" ")}


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return f"hex {value['hex']}"
    return "none" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
