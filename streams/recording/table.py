"""A CSV file as raw records: every row becomes one, or a line in the list of what did not and why."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from schemas.error import ConfigError
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.key import key_of
from schemas.topic import COMPRESSION_RAW, NETWORK_RAW, SYSTEM_RAW, Topic
from streams.agent import Agent, declare
from streams.recording.column import Plan, plan
from streams.recording.format import Recorded
from streams.stepper import Stepper

INGESTS: Final[Mapping[Topic, Agent]] = {
    ingest.source: declare("import", source=ingest.source, state=ingest, publishes=(ingest.target,))
    for ingest in (NetworkIngest, SystemIngest, CompressionIngest)
}
"""How the records of each input are checked."""

_ROWS: Final = 2_000
_KEYS: Final = {NETWORK_RAW: ("node_id", "peer_id"), COMPRESSION_RAW: ("node_id", "peer_id"), SYSTEM_RAW: ("node_id",)}


class Rejected(NamedTuple):
    """A row that is not a record: its first line, why, and its cells."""

    line: int
    reason: str
    message: str
    row: list[str]


@dataclass(slots=True)
class Table:
    """What a file gave: records in order of time, and what was rejected in order of line."""

    plan: Plan
    records: list[Recorded] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a user says of a file; see `streams.recording.column.plan`."""

    topic: Topic
    time: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None


def read_table(path: Path, choice: Choice, name: str) -> Table:
    """Read a CSV file; nothing of it is dropped silently.

    Parameters
    ----------
    path
        The file: a header, then rows.
    choice
        What becomes of it.
    name
        Name of the topic that the records are for.

    Raises
    ------
    ConfigError
        When the file cannot be read, has no header, or its columns do not make a record.
    """
    agent = INGESTS[choice.topic]
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            first = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=choice.delimiter or _delimiter(first), strict=True)
            header = next(rows, None)
            if not header or not any(header):
                raise ConfigError("FILE", str(path), "a CSV file whose first line names the columns")
            raw, target = agent.source.record, agent.publishes[0].record
            assert raw is not None
            assert target is not None
            found = plan(header, raw, target, choice.time, choice.metrics, choice.constants)
            _require(raw, found)
            table = Table(found)
            numbered = _numbered(rows, table)
            while some := list(islice(numbered, _ROWS)):
                _take(some, table, choice.topic, name, len(header))
    except (OSError, csv.Error) as exc:
        raise ConfigError("FILE", str(path), f"a readable CSV file ({exc})") from exc
    # Rows of several links often stand one link after the other; agents expect time to pass for all.
    table.records.sort(key=lambda record: record.timestamp_ms)
    table.rejected.sort()
    return table


def _delimiter(line: str) -> str:
    return max((",", ";", "\t", "|"), key=line.count)


def _require(raw: type[Struct], found: Plan) -> None:
    """What no record can do without comes from somewhere."""
    have = {source.field for source in found.sources} | found.constants.keys() | {"timestamp"}
    missing = [f.name for f in msgspec.structs.fields(raw) if f.required and f.name not in have]
    if missing:
        left = f"; columns still unused: {', '.join(found.unused)}" if found.unused else ""
        how = f"say which columns they are with --metric {missing[0]}=COLUMN, or what they always are with --set"
        raise ConfigError("FILE", f"without {', '.join(missing)}", f"{how} {missing[0]}=VALUE{left}")


def _numbered(rows: Iterator[list[str]], table: Table) -> Iterator[tuple[int, list[str]]]:
    """Rows with their first line; what is not even CSV goes to the rejected."""
    line = 2
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as exc:
            table.rejected.append(Rejected(line, "csv", str(exc), []))
            row = []
        if row:
            yield line, row
        line = rows.line_num + 1  # type: ignore[attr-defined]


def _take(rows: Sequence[tuple[int, list[str]]], table: Table, topic: Topic, name: str, width: int) -> None:
    """Make records of rows and have ingest check them."""
    made: list[Recorded] = []
    kept: list[tuple[int, list[str]]] = []
    for line, row in rows:
        try:
            if len(row) != width:
                raise ValueError(f"{len(row)} cells where the header has {width}")
            document = table.plan.document(row)
            key = key_of(*(str(document.get(part, "")) for part in _KEYS[topic]))
            value = msgspec.json.encode(document)
        except UnicodeEncodeError:
            table.rejected.append(Rejected(line, "csv", "not UTF-8", [_shown(cell) for cell in row]))
            continue
        except ValueError as exc:
            table.rejected.append(Rejected(line, "csv", str(exc), [_shown(cell) for cell in row]))
            continue
        made.append(Recorded(name, 0, line, document["timestamp"], key, value))
        kept.append((line, row))
    stepper = Stepper(INGESTS[topic], name)
    work = stepper.decode(made, 0)
    result = stepper.step(stepper.start(), work)
    bad = {r.row: r.error for r in work.rejected} | {int(work.row[r.row]): r.error for r in result.rejected}
    for i, (line, row) in enumerate(kept):
        if i in bad:
            table.rejected.append(Rejected(line, bad[i].reason, str(bad[i]), row))
        else:
            table.records.append(made[i])


def _shown(cell: str) -> str:
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
