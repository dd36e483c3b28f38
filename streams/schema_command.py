"""`dwcp schemas`: the published Avro schemas, and whether they still hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from schemas.avro.frame import fingerprint_of
from schemas.avro.version import DESCRIBED, FOLDER, Problem, check, derived, history_of, schema_file, text_of, write
from schemas.topic import Topic
from streams.settings import Settings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def schemas() -> None:
    """The Avro schema of every topic: show it, check it, write it.

    Each is derived from the topic's record type and kept in schemas/avro/ for producers
    and consumers to take. Versions of one topic can all read each other, so either side
    may be updated first.
    """


@schemas.command("list")
@_as_json
def list_(as_json: bool) -> None:
    """Topics with their schema, versions published, and fingerprint.

    The fingerprint is CRC-64-AVRO as it stands on the wire, behind the bytes C3 01 of
    single-object framing.
    """
    settings = Settings.from_environment()
    rows: list[dict[str, Any]] = [
        {
            "topic": settings.name_of(topic),
            "schema": derived(topic)["name"],
            "versions": len(history_of(topic, FOLDER)),
            "fingerprint": fingerprint_of(derived(topic)).hex(),
            "file": str(schema_file(topic, FOLDER).relative_to(FOLDER.parent.parent)),
        }
        for topic in DESCRIBED
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo("{topic:32} {schema:24} {versions:3}  {fingerprint}  {file}".format(**row))


@schemas.command()
@click.argument("topic")
def show(topic: str) -> None:
    """One topic's schema as JSON, by the topic's name or kind (network.forecast)."""
    settings = Settings.from_environment()
    for candidate in DESCRIBED:
        if topic in (candidate.name, candidate.kind, settings.name_of(candidate)):
            click.echo(text_of(derived(candidate)), nl=False)
            return
    raise click.UsageError(f"No topic {topic!r} has a schema. There are: {', '.join(t.kind for t in DESCRIBED)}.")


@schemas.command("check")
@_as_json
def check_(as_json: bool) -> None:
    """Whether files, records and every pair of versions fit; exit code 1 when not.

    A file must be what its record says, every field documented with its unit, and every
    version able to read every other (FULL_TRANSITIVE).
    """
    problems = [problem for topic in DESCRIBED for problem in check(topic, derived(topic), FOLDER)]
    if as_json:
        click.echo(json.dumps([problem._asdict() for problem in problems], indent=1))
    else:
        for problem in problems:
            click.echo(f"{problem.topic}: {problem.kind}: {problem.message}")
        if not problems:
            versions = sum(len(history_of(topic, FOLDER)) for topic in DESCRIBED)
            click.echo(f"{len(DESCRIBED)} schemas in {versions} versions are as they should be")
    sys.exit(1 if problems else 0)


@schemas.command("write")
def write_() -> None:
    """Write what the records say; refuses, with exit code 1, what older versions cannot read.

    Writing twice changes nothing. A new shape is appended to the topic's history.
    """
    refused: list[Problem] = []
    for topic in DESCRIBED:
        before = _content(topic)
        problems = write(topic, derived(topic), FOLDER)
        refused += problems
        if not problems and _content(topic) != before:
            click.echo(f"wrote {schema_file(topic, FOLDER).name}")
    _explain(refused)
    sys.exit(1 if refused else 0)


def _content(topic: Topic) -> str:
    path = schema_file(topic, FOLDER)
    return path.read_text("utf-8") if path.exists() else ""


def _explain(refused: Sequence[Problem]) -> None:
    for problem in refused:
        click.echo(f"not written: {problem.topic}: {problem.message}", err=True)
    for name in dict.fromkeys(problem.topic for problem in refused if problem.kind == "incompatible"):
        stem, _, version = name.rpartition(".v")
        click.echo(
            f"{name}: give new fields a default and keep the others, or make {stem}.v{int(version) + 1} in "
            f"schemas/topic.py; if no {name} was ever published, delete its file in schemas/avro/history",
            err=True,
        )
