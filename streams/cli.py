"""The `dwcp` command line.

Each group lives beside what it drives and is imported only when it is asked for,
so that `dwcp --help` is instant and no room imports another for a command's sake.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click

from schemas.error import ConfigError, DwcpError


class _Entry(NamedTuple):
    module: str
    attribute: str
    help: str


COMMANDS = {
    "demo": _Entry("streams.demo.command", "demo", "See predictions flow: broker, worker and simulated fleet."),
    "simulate": _Entry("offline.simulator.command", "simulate", "Feed a broker, or write a recording, from a fleet."),
    "record": _Entry("streams.recording.command", "record", "Write topics to a file."),
    "replay": _Entry("streams.recording.command", "replay", "Send a recording to a broker, or print it."),
    "import": _Entry("streams.recording.import_command", "import_csv", "Make a recording, or feed a broker, from CSV."),
    "dataset": _Entry("offline.dataset.command", "dataset", "Turn a recording into a Parquet file."),
    "backtest": _Entry("offline.backtest.command", "backtest", "Run the online models over CSV files, and score them."),
    "dead-letters": _Entry("streams.dead_letter.command", "dead_letters", "List, show and replay what was rejected."),
    "topics": _Entry("streams.command", "topics", "List, compare and create the topics."),
    "schemas": _Entry("streams.schema_command", "schemas", "Show, check and write the topics' Avro schemas."),
    "bench": _Entry("tests.bench.command", "bench", "Measure it; from a checkout only."),
    "config": _Entry("streams.command", "config", "Show every setting, its value and its meaning."),
}


_CHECKOUT = Path(__file__).parent.parent


def _need_checkout(command: str) -> None:
    """Make the tests' modules importable; they are not installed."""
    if not (_CHECKOUT / "tests" / "bench").is_dir():
        raise ConfigError("command", command, "run from a checkout, where tests/bench is")
    if str(_CHECKOUT) not in sys.path:
        sys.path.insert(0, str(_CHECKOUT))


class LazyGroup(click.Group):
    """A group that imports a command when it is used, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; None when there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if entry.module.startswith("tests."):
            _need_checkout(cmd_name)
        command: click.Command = getattr(import_module(entry.module), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command to run; for a name that does not exist, say which is nearest."""
        near = get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS:
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing any of it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dwcp-streams")
def dwcp() -> None:
    """Decisions from DWCP telemetry, while it streams.

    Start with `dwcp demo`. Workers are started with `faust -A app worker` and
    configured by environment variables: `dwcp config` lists them.
    """


def main() -> Any:
    """Run `dwcp`; errors of ours are one line on stderr and their own exit code."""
    try:
        return dwcp(standalone_mode=True)
    except DwcpError as exc:
        click.echo(f"dwcp: {exc}", err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
