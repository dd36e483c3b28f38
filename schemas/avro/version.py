"""Published versions of each topic's schema, and whether they fit together.

A topic's `.avsc` is derived from its record and committed, for others to take. Its
shape is appended to a history that only grows. Every pair of versions must be able to
read each other (FULL_TRANSITIVE): records of any age may be on a topic, and consumers
update when they like. A change that cannot is a new topic, `v<N+1>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from schemas.avro.schema import Schema, schema_of, shape_of
from schemas.topic import TOPICS, Topic

FOLDER: Final = Path(__file__).parent

DESCRIBED: Final = tuple(topic for topic in TOPICS if topic.record is not None)
"""The topics that have a schema."""


class Problem(NamedTuple):
    """What is wrong with a topic's schema."""

    topic: str
    kind: Literal["missing", "stale", "undocumented", "unpublished", "incompatible"]
    message: str


def derived(topic: Topic) -> Schema:
    """The schema that a topic's record type has now."""
    assert topic.record is not None
    return schema_of(topic.record)


def schema_file(topic: Topic, folder: Path = FOLDER) -> Path:
    """Where a topic's schema is kept."""
    return folder / f"{topic.kind}.v{topic.version}.avsc"


def history_file(topic: Topic, folder: Path = FOLDER) -> Path:
    """Where the shapes of a topic's versions are kept, one per line, the oldest first."""
    return folder / "history" / f"{topic.kind}.v{topic.version}.jsonl"


def history_of(topic: Topic, folder: Path = FOLDER) -> list[Schema]:
    """Shapes of the versions published so far, the oldest first."""
    path = history_file(topic, folder)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def text_of(schema: Schema) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def check(topic: Topic, schema: Schema, folder: Path = FOLDER) -> list[Problem]:
    """What is wrong with a topic's files beside the schema its record has now.

    Parameters
    ----------
    topic
        A topic with a record.
    schema
        `derived(topic)`.
    folder
        Where the files are.
    """
    problems = [Problem(topic.name, "undocumented", message) for message in _undocumented(schema)]
    path = schema_file(topic, folder)
    if not path.exists():
        problems.append(Problem(topic.name, "missing", f"there is no {path.name}: run `dwcp schemas write`"))
    elif path.read_text("utf-8") != text_of(schema):
        problems.append(
            Problem(topic.name, "stale", f"{path.name} is not what its record says: run `dwcp schemas write`")
        )
    history = history_of(topic, folder)
    shape = shape_of(schema)
    if not history or history[-1] != shape:
        history.append(shape)
        problems.append(
            Problem(topic.name, "unpublished", "its shape is not the last of its history: run `dwcp schemas write`")
        )
    return problems + [Problem(topic.name, "incompatible", message) for message in incompatibilities(history)]


def write(topic: Topic, schema: Schema, folder: Path = FOLDER) -> list[Problem]:
    """Write a topic's files if its schema may be published; else what stands against it, and nothing is written."""
    refused = [p for p in check(topic, schema, folder) if p.kind in ("undocumented", "incompatible")]
    if refused:
        return refused
    shape = shape_of(schema)
    history = history_of(topic, folder)
    if not history or history[-1] != shape:
        path = history_file(topic, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(shape, separators=(",", ":"), ensure_ascii=False) + "\n")
    schema_file(topic, folder).write_text(text_of(schema), "utf-8")
    return []


def incompatibilities(versions: Sequence[Schema]) -> list[str]:
    """Why versions cannot read each other, each pair in both directions; empty when all can."""
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
    from avro.schema import parse

    parsed = [parse(json.dumps(version)) for version in versions]
    messages = []
    for at, writer in enumerate(parsed):
        for other, reader in enumerate(parsed):
            if other == at:
                continue
            found = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
            if found.compatibility is not SchemaCompatibilityType.compatible:
                why = "; ".join(sorted(_reasons(found.incompatibilities, found.messages, found.locations)))
                messages.append(f"version {other + 1} cannot read what version {at + 1} wrote: {why}")
    return messages


def _reasons(kinds: Sequence[object], messages: set[str], locations: set[str]) -> Iterator[str]:
    names = ", ".join(sorted({str(getattr(kind, "value", kind)).replace("_", " ") for kind in kinds}))
    yield f"{names} ({', '.join(sorted(messages))}) at {', '.join(sorted(locations))}"


def _undocumented(schema: Schema, path: str = "") -> Iterator[str]:
    for field in schema["fields"]:
        name = f"{path or schema['name']}.{field['name']}"
        for attribute in ("doc", "unit"):
            if not field.get(attribute):
                yield f"{name} has no {attribute}: say it in schemas/glossary.py, or in the field's type"
        for inner in _records_in(field["type"]):
            yield from _undocumented(inner)


def _records_in(kind: object) -> Iterator[Schema]:
    """Records defined within a type."""
    if isinstance(kind, list):
        for branch in kind:
            yield from _records_in(branch)
    elif isinstance(kind, dict):
        if kind["type"] == "record":
            yield kind
        else:
            yield from _records_in(kind.get("items", kind.get("values")))
