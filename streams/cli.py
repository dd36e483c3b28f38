"""The `dwcp` command line.

Each group lives beside what it drives and is imported only when it is asked for,
so that `dwcp --help` is instant and no room imports another for a command's sake.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from schemas.error import ConfigError, DwcpError
from streams.lazy import Entry, LazyGroup

COMMANDS = {
    "demo": Entry("streams.demo.command", "demo", "See predictions flow: broker, worker and simulated fleet."),
    "simulate": Entry("offline.simulator.command", "simulate", "Feed a broker, or write a recording, from a fleet."),
    "record": Entry("streams.recording.command", "record", "Write topics to a file."),
    "replay": Entry("streams.recording.command", "replay", "Send a recording to a broker, or print it."),
    "import": Entry("streams.recording.import_command", "import_csv", "Make a recording, or feed a broker, from CSV."),
    "dataset": Entry("offline.dataset.command", "dataset", "Turn a recording into a Parquet file."),
    "backtest": Entry("offline.backtest.command", "backtest", "Run the online models over CSV files, and score them."),
    "capacity": Entry("offline.capacity.command", "capacity", "Forecast resources, and plan what they will need."),
    "optimize": Entry("offline.optimizer.command", "optimize", "Measure settings, and compare policies that tune."),
    "train": Entry("offline.training.command", "train", "Train models on recorded topics, and judge them."),
    "sidecar": Entry("offline.sidecar.command", "sidecar", "Keep what streams by, train on it, and lead the models."),
    "models": Entry("offline.model.command", "models", "List, announce, promote and roll back versions of models."),
    "experiments": Entry("streams.model.experiment_command", "experiments", "What experiments found so far."),
    "dead-letters": Entry("streams.dead_letter.command", "dead_letters", "List, show and replay what was rejected."),
    "topics": Entry("streams.command", "topics", "List, compare and create the topics."),
    "schemas": Entry("streams.schema_command", "schemas", "Show, check and write the topics' Avro schemas."),
    "bench": Entry("tests.bench.command", "bench", "Measure it; from a checkout only."),
    "config": Entry("streams.command", "config", "Show every setting, its value and its meaning."),
}


_CHECKOUT = Path(__file__).parent.parent


def _need_checkout(command: str) -> None:
    """Make the tests' modules importable; they are not installed."""
    if not (_CHECKOUT / "tests" / "bench").is_dir():
        raise ConfigError("command", command, "run from a checkout, where tests/bench is")
    if str(_CHECKOUT) not in sys.path:
        sys.path.insert(0, str(_CHECKOUT))


class Root(LazyGroup):
    """Every command."""

    entries = COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; None when there is none of that name."""
        if cmd_name in COMMANDS and COMMANDS[cmd_name].module.startswith("tests."):
            _need_checkout(cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
