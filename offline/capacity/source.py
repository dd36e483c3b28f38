"""Where capacity's series come from: a CSV file, a recording, or the broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

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


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a command that say where its series come from: it takes a `source`, and the `time` column."""

    @click.option("--csv", "path", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to read.")
    @click.option("--from-topics", is_flag=True, help="Read the hourly rollups of nodes from the broker at BROKER_URL.")
    @click.option("--recording", type=click.Path(dir_okay=False, path_type=Path),
                  help="Read them from a recording of dwcp.system.rollup.v1.")  # fmt: skip
    @click.option("--node", "nodes", multiple=True,
                  help="Node of the rollups, again for a group; by default all as one.")  # fmt: skip
    @click.option("--time", metavar="COLUMN", help="Time column; by default one named like a time, else the first.")
    @wraps(command)
    def run(
        path: Path | None, from_topics: bool, recording: Path | None, nodes: tuple[str, ...], **said: Any
    ) -> None:  # fmt: skip
        command(source=Source(path, from_topics, recording, nodes), **said)

    return run


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
