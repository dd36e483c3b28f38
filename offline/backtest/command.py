"""`dwcp backtest`: a group whose parts are imported when they are used."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

from schemas.error import ConfigError

PARTS = {
    "bandwidth": ("offline.backtest.bandwidth_command", "Forecast series, and score what was published."),
    "anomaly": ("offline.backtest.anomaly_command", "Find anomalies in series, beside labels if there are any."),
    "drift": ("offline.backtest.drift_command", "Find changes in series, beside known dates if there are any."),
}
"""Module of each part, whose command has the part's name, and its line of help."""


class PartGroup(click.Group):
    """A group that lists its parts without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the parts."""
        return list(PARTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The part itself; None when there is none of that name.

        Raises
        ------
        ConfigError
            When this installation lacks it.
        """
        if cmd_name not in PARTS:
            return None
        module = PARTS[cmd_name][0]
        if find_spec(module) is None:
            raise ConfigError("dwcp backtest", cmd_name, f"this installation has no {module}")
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing any of it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in PARTS.items()])


@click.group(cls=PartGroup)
def backtest() -> None:
    """Stream CSV files through the online models, as a worker would, and score the answers.

    Nothing is trained beforehand: a model sees a value only after it was asked about it.
    """
