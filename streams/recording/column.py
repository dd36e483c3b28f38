"""Which column of a CSV file is which field of a record, and what its text becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from msgspec import Struct

from schemas.enumeration import ENUMERATIONS
from schemas.error import ConfigError
from schemas.moment import NO_TIME, epoch_ms
from streams.recording.unit import canonical_units, scale, split_unit

TIMES: Final = ("timestamp", "time", "datetime", "date", "ds", "epoch")
"""Names of the column that holds the time, in this order, where nobody says."""

_GO_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) ([+-]\d{4}) [A-Z]+(?: m=\S+)?")
_TRUE: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

Parse = Callable[[str], Any]


class Source(NamedTuple):
    """Where a field comes from: a column, and how its text is read."""

    field: str
    column: str
    position: int
    parse: Parse


@dataclass(frozen=True, slots=True)
class Plan:
    """How a row becomes a record.

    Parameters
    ----------
    time
        Index of the column with the time.
    sources
        The fields that come from columns.
    constants
        The fields that are the same in every row.
    unused
        Columns that nothing is made of.
    """

    time: int
    sources: tuple[Source, ...]
    constants: Mapping[str, Any]
    unused: tuple[str, ...]

    def document(self, row: Sequence[str]) -> dict[str, Any]:
        """The record of a row, event time in epoch milliseconds.

        Raises
        ------
        ValueError
            Naming the column whose text cannot be read.
        """
        document: dict[str, Any] = {"timestamp": parse_time(row[self.time])}
        document.update(self.constants)
        for field, column, index, parse in self.sources:
            text = row[index].strip()
            if not text:
                continue
            try:
                document[field] = parse(text)
            except ValueError as exc:
                raise ValueError(f"column {column!r} holds {text!r}, which is {exc}") from None
        return document


def plan(
    header: Sequence[str],
    raw: type[Struct],
    target: type[Struct],
    time: str | None,
    metrics: Mapping[str, str],
    constants: Mapping[str, str],
) -> Plan:
    """Match columns to fields.

    Parameters
    ----------
    header
        Names of the columns.
    raw, target
        The record to make, and the canonical one with its units.
    time
        Column of the time; by default the first of `TIMES`.
    metrics
        Column by field, with `:unit` where the header does not say it. Other columns
        are taken by their names, where they are names of fields.
    constants
        Text by field, for what the file does not have.

    Raises
    ------
    ConfigError
        For a field, column or unit that is not there.
    """
    at_time = _time_index(header, time)
    kinds = get_type_hints(raw)
    for field in (*metrics, *constants):
        if field not in kinds or field in ("timestamp", "units"):
            fields = ", ".join(name for name in raw.__struct_fields__ if name not in ("timestamp", "units"))
            raise ConfigError("field", field, f"one of {fields}")
    units = canonical_units(raw, target)
    sources = [_chosen(field, spec, header, kinds[field], units) for field, spec in metrics.items()]
    taken = {source.position for source in sources} | {at_time}
    said = {source.field for source in sources} | constants.keys()
    for index, column in enumerate(header):
        name, unit = split_unit(column)
        field = re.sub(r"[\s-]+", "_", name.strip()).lower()
        if index not in taken and field in kinds and field not in said and field not in ("timestamp", "units"):
            sources.append(Source(field, column, index, _parser(field, kinds[field], unit, units)))
            taken.add(index)
            said.add(field)
    values = {field: _constant(field, text, kinds[field], units) for field, text in constants.items()}
    return Plan(at_time, tuple(sources), values, tuple(c for i, c in enumerate(header) if i not in taken))


def parse_time(text: str) -> int:
    """Milliseconds since the epoch of a time in a file: ISO 8601, Go's own text, or a number; UTC unless it says.

    >>> parse_time("2022-08-22 03:51:19.89129634 +0000 UTC m=+0.397250321"), parse_time("1512144010.0")
    (1661140279891, 1512144010000)

    Raises
    ------
    ValueError
        When it is none of these.
    """
    text = text.strip()
    if found := _GO_TIME.fullmatch(text):
        text = f"{found[1]}{found[2]}"
    try:
        at = epoch_ms(float(text) if text.replace(".", "", 1).lstrip("-").isdigit() else datetime.fromisoformat(text))
    except ValueError:
        at = NO_TIME
    if at < 0:
        raise ValueError(f"no time: {text!r}; ISO 8601 or seconds, ms, us or ns since 1970 are understood")
    return at


def _time_index(header: Sequence[str], time: str | None) -> int:
    names = [name.strip().lower() for name in header]
    for wanted in (time.strip().lower(),) if time is not None else TIMES:
        if wanted in names:
            return names.index(wanted)
    if time is not None:
        raise ConfigError("--time", time, f"a column of the file: {', '.join(header)}")
    raise ConfigError("--time", "", f"the column with the time, one of {', '.join(header)}")


def _chosen(field: str, spec: str, header: Sequence[str], kind: Any, units: Mapping[str, str]) -> Source:
    """The source of a field as `column` or `column:unit`."""
    names = [name.strip() for name in header]
    known = {split_unit(name)[0]: i for i, name in enumerate(names)} | {name: i for i, name in enumerate(names)}
    column, unit = spec.strip(), ""
    if column not in known and ":" in column:
        column, _, unit = column.rpartition(":")
    index = known.get(column, -1)
    if index < 0:
        raise ConfigError("--metric", f"{field}={spec}", f"a column of the file: {', '.join(header)}")
    return Source(field, header[index], index, _parser(field, kind, unit or split_unit(names[index])[1], units))


def _constant(field: str, text: str, kind: Any, units: Mapping[str, str]) -> Any:
    try:
        return _parser(field, kind, "", units)(text)
    except ValueError as exc:
        raise ConfigError("--set", f"{field}={text}", f"usable as {field}, but this is {exc}") from None


def _parser(field: str, kind: Any, unit: str, units: Mapping[str, str]) -> Parse:
    """What reads the text of a field, in the unit of its column."""
    members = set(get_args(kind)) or {kind}
    if field in ENUMERATIONS:
        return lambda text: int(text) if text.isdigit() else text
    if str in members:
        return str
    if bool in members:
        return _boolean
    factor = scale(field, units.get(field, ""), unit) if unit else 1
    whole = float not in members

    def number(text: str) -> float | int:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("no number") from None
        if not math.isfinite(value):
            raise ValueError("no finite number")
        value *= factor
        return round(value) if whole and abs(value - round(value)) < 1e-6 * max(1.0, abs(value)) else value

    return number


def _boolean(text: str) -> bool:
    try:
        return _TRUE[text.lower()]
    except KeyError:
        raise ValueError("neither true nor false") from None
