"""`dwcp topics` and `dwcp config`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from schemas.error import ConfigError
from schemas.topic import FOREVER, TOPICS
from streams.settings import Settings
from streams.topic import Difference, admin
from streams.topic import apply as apply_topics
from streams.topic import diff as diff_topics

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def topics() -> None:
    """List, compare and create the topics.

    The broker is taken from BROKER_URL, names from DWCP_TOPIC_* (see `dwcp config`).
    """


@topics.command("list")
@_as_json
def list_(as_json: bool) -> None:
    """The topic table: name, record, partitions, retention, key. Asks no broker.

    Of a compacted topic the broker keeps the latest record of every key.
    """
    settings = Settings.from_environment()
    rows: list[dict[str, Any]] = [
        {
            "topic": settings.name_of(topic),
            "record": topic.record.__name__ if topic.record else "as received",
            "key": topic.key,
            "partitions": topic.partitions,
            "compacted": topic.compacted,
            "retention_days": None if topic.retention_ms == FOREVER else topic.retention_ms / 86_400_000,
        }
        for topic in TOPICS
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo("{topic:32} {record:24} {partitions:3}  {kept:6}  key: {key}".format(kept=_kept(row), **row))


@topics.command()
@_as_json
def diff(as_json: bool) -> None:
    """How the broker differs from the table; exit code 1 when it does."""
    settings = Settings.from_environment()
    differences = diff_topics(admin(settings), settings)
    _print(differences, as_json, "the broker has every topic as it should be")
    sys.exit(1 if differences else 0)


@topics.command()
@_as_json
@click.option("--replication", default=-1, show_default="the broker's default", help="Replicas of a new topic.")
def apply(as_json: bool, replication: int) -> None:
    """Create missing topics and set what differs; doing it twice changes nothing.

    Existing topics never change their number of partitions: that would send a key's
    records to another partition than its history. Exit code 78 when one would have to.
    """
    settings = Settings.from_environment()
    differences = apply_topics(admin(settings), settings, replication)
    _print(differences, as_json, "nothing to do")
    conflicts = [d for d in differences if d.action == "conflict"]
    if conflicts:
        d = conflicts[0]
        allowed = f"{d.wanted} {d.setting}: use another name (DWCP_TOPIC_*) or a new topic, and replay into it"
        raise ConfigError(d.topic, f"{d.found} {d.setting}", allowed)


@click.command()
@_as_json
def config(as_json: bool) -> None:
    """Show every setting: its value now (`*` where it is not the default), its default and its meaning."""
    rows = Settings.from_environment().table()
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows], indent=1))
        return
    width = max(len(row.name) for row in rows)
    for row in rows:
        unchanged = (row.default, row.default.removeprefix("kafka://"), str(Path(row.default).expanduser()))
        changed = "" if row.value in unchanged else "  *"
        click.echo(f"{row.name:{width}}  {row.value}{changed}\n{'':{width}}  {row.meaning}; default {row.default!r}")


def _kept(row: Mapping[str, Any]) -> str:
    if row["compacted"]:
        return "latest"
    return "always" if row["retention_days"] is None else f"{row['retention_days']:4g} d"


def _print(differences: Sequence[Difference], as_json: bool, none: str) -> None:
    if as_json:
        click.echo(json.dumps([asdict(d) for d in differences], indent=1))
        return
    for difference in differences:
        click.echo(str(difference))
    if not differences:
        click.echo(none)
