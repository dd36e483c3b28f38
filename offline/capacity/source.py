"""Where capacity's series come from: a CSV file, a recording, or the broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from offline.capacity.resource import Resource
from offline.capacity.rollup import Figure, decode, read_topic, series_of
from offline.series import Series, read_series
from schemas.error import ConfigError
from schemas.topic import SYSTEM_ROLLUP
from streams.recording.file import read_recording


class Source(NamedTuple):
    """One of a CSV file, the hourly rollups on the broker, and those in a recording; the latter of these nodes."""

    path: Path | None
    from_topics: bool
    recording: Path | None
    nodes: Sequence[str]

    @property
    def scope(self) -> str:
        """What it is called where nobody says."""
        if self.path is not None:
            return self.path.stem
        return self.nodes[0] if len(self.nodes) == 1 else "group" if self.nodes else "all"

    def read(self, time: str | None, columns: Sequence[str], figure: Figure = "mean") -> Series:
        """Its table of numbers.

        Parameters
        ----------
        time, columns
            Of a CSV file, see `offline.series.read_series`.
        figure
            Of each rolled-up hour.

        Raises
        ------
        ConfigError, InfraError
            When not exactly one is named, or it cannot be read.
        """
        if (self.path is not None) + self.from_topics + (self.recording is not None) != 1:
            raise ConfigError("--csv", str(self.path or ""), "given, or --from-topics, or --recording: one of them")
        if self.path is not None:
            return read_series(self.path, time, columns)
        if self.recording is None:
            return series_of(read_topic(), self.nodes, figure)
        return series_of(decode(read_recording(self.recording), SYSTEM_ROLLUP.name), self.nodes, figure)


def chosen(
    series: Series, values: Sequence[str], resource: str | None, known: Mapping[str, Resource]
) -> dict[str, str]:
    """Resource by column."""
    by_column = {column: name for name, one in known.items() for column in (name, *one.columns)}
    if not values and resource is None:
        found: dict[str, str] = {}
        for column in series.columns:
            if (name := by_column.get(column)) and name not in found.values() and known[name].critical is not None:
                found[column] = name
        if not found:
            there = ", ".join(series.columns)
            raise ConfigError(
                "--resource", "", f"say which resource the column is, or --value COLUMN=RESOURCE ({there})"
            )
        return found
    columns = list(values) or list(series.columns)
    named = [value.rpartition("=") if "=" in value else (value, "", "") for value in columns]
    if resource is not None and len(named) != 1:
        said = ", ".join(series.columns)
        raise ConfigError("--resource", resource, f"one column goes with it: say --value with one of {said}")
    return {column: name or resource or by_column.get(column, column) for column, _, name in named}
