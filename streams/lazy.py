"""Command groups that import a command when it is used, not when it is listed."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import click

from schemas.error import ConfigError


class Entry(NamedTuple):
    """Where a command is, and its line in the list."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group of `entries`, in the order a new user needs them; a subclass has its own."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; None when there is none of that name.

        Raises
        ------
        ConfigError
            When this installation lacks it.
        """
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if find_spec(entry.module) is None:
            raise ConfigError(ctx.command_path, cmd_name, f"this installation has no {entry.module}")
        command: click.Command = getattr(import_module(entry.module), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[Any]]:
        """The command to run; for a name that does not exist, say which is nearest."""
        near = get_close_matches(args[0], self.entries, n=1)
        if args[0] not in self.entries:
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(self.entries)}."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing any of it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])
