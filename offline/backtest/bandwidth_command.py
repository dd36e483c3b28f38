"""`dwcp backtest bandwidth`: forecasts of any series, scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from offline.backtest.bandwidth import Backtest, backtest_column
from offline.backtest.grid import fit_horizon, make_grid
from offline.backtest.retrain import Retraining
from offline.series import read_series
from online_models.bandwidth.artifact import load_forecaster
from online_models.onnx_model import OnnxModel
from schemas.error import ConfigError, ModelError
from schemas.network import TARGETS

_LONGEST_MS: Final = 20 * 86_400_000
"""A link keeps the lower half of the times of its forecasts, which comes again after 49 days."""

NEVER: Final = "never"
RETRAIN: Final = "15%"
"""What `--retrain` is unless it is said."""

_LEAST_GROWTH: Final = 0.01

_UNITS: Final = {"ms": 1, "s": 1000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType):
    """A length of time such as 30s, 5min or 1h, as milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds of what was written."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)", str(value).strip())
        if isinstance(value, int):
            return value
        if not found or not (length := round(float(found[1]) * _UNITS[found[2]])):
            self.fail(f"{value!r} is not a length of time such as 30s, 5min or 1h.", param, ctx)
        return length


class Regularity(click.ParamType):
    """When to train: a share such as 15%, a length of time such as 1d, or never."""

    name = "share|duration|never"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Retraining | None:
        """When to train, None for never."""
        if value is None or isinstance(value, Retraining):
            return value
        text = str(value).strip()
        if text == NEVER:
            return None
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text):
            if (growth := float(found[1]) / 100) < _LEAST_GROWTH:
                self.fail(f"{value!r}: at least {_LEAST_GROWTH:.0%}.", param, ctx)
            return Retraining(growth)
        try:
            return Retraining(None, Duration().convert(text, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is neither a share such as 15%, nor a length of time such as 1d, nor {NEVER}.")


@click.command()
@click.option("--csv", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to read.")
@click.option("--time", metavar="COLUMN", help="Time column; by default one named like a time, else the first.")
@click.option("--value", "values", multiple=True, metavar="COLUMN[=TARGET]",
              help="Column to forecast, again for more; by default every column of numbers.")  # fmt: skip
@click.option("--period", type=Duration(), help="Take means over slots of this length; by default times stay as is.")
@click.option("--horizon", type=Duration(), default="15min", show_default=True, help="How far ahead.")
@click.option("--test-fraction", type=click.FloatRange(0.0, 1.0, min_open=True), default=0.15, show_default=True,
              help="Share of the samples, the last ones, to score against.")  # fmt: skip
@click.option("--retrain", "how", type=Regularity(), default=RETRAIN, show_default=True,
              help="Train whenever there is so much more, or so much time has passed; or never.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of these trainings.")
@click.option("--model", "artifact", type=click.Path(exists=True, path_type=Path),
              help="Folder of `dwcp train bandwidth`, or its model.onnx: asked as a worker's champion is, from the "
                   "first sample on, and nothing is trained.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def bandwidth(
    path: Path,
    time: str | None,
    values: Sequence[str],
    period: int | None,
    horizon: int,
    test_fraction: float,
    how: Retraining | None,
    seed: int,
    artifact: Path | None,
    as_json: bool,
) -> None:
    """Forecast the columns of a CSV file as a worker forecasts links, and score that.

    Each column is one link. The forecaster starts knowing nothing and learns on the way; a
    forecast is scored against the sample one horizon later (the nearest, at most half a period or
    30 s off). The horizon is made a whole number of periods, so that hourly data is
    forecast one hour ahead; what was used is printed.

    With =TARGET a column has that target's bounds: throughput_mbps, rtt_ms, packet_loss, jitter_ms.
    `published` is what a worker would publish, beside the forecasters it is made of. One of
    these is `trained`: boosting, which learns anew whenever there is --retrain more, as the
    sidecar does it daily beside workers. It learns from what is known by then, later samples
    decide when to stop, the newest judge it against persistence and moving average, and only
    then it serves; one that misses the gate is refused, and the one before goes on. Before 850
    samples there is none. With --model that one is asked instead; it must look as far ahead.

    A file without times has its period said: --period 5min --time none.

    \b
    One file, every column:     dwcp backtest bandwidth --csv link.csv
    Probes, as 5 min means:     dwcp backtest bandwidth --csv rtt.csv --value values=rtt_ms --period 5min
    Without training:           dwcp backtest bandwidth --csv link.csv --retrain never
    With a trained model:       dwcp backtest bandwidth --csv link.csv --period 1min --model trained
    For a program:              dwcp backtest bandwidth --csv link.csv --json | jq '.columns[].ratio'
    """
    if horizon > _LONGEST_MS:
        raise ConfigError(
            "--horizon", _length(horizon), f"at most {_length(_LONGEST_MS)}: try `dwcp backtest capacity`"
        )
    targets = dict(_named(value) for value in values)
    series = read_series(path, time, list(targets), period)
    found = []
    for column in targets or series.columns:
        click.echo(f"streaming {column}: {len(series)} rows", err=True)
        grid = make_grid(column, series.time_ms, series.columns[column], period)
        trained: OnnxModel | Retraining | None = how and replace(how, seed=seed)
        if artifact is not None:
            trained = _load(artifact, fit_horizon(horizon, grid.period_ms))
        found.append(backtest_column(column, grid, targets.get(column), horizon, test_fraction, trained, _say))
    if as_json:
        document = {"csv": str(path), "horizon_asked_ms": horizon, "test_fraction": test_fraction, "columns": found}
        click.echo(msgspec.json.encode(document))
        return
    for result in found:
        click.echo("\n".join(_table(result, horizon)))


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)


def _load(artifact: Path, horizon_ms: int) -> OnnxModel:
    """The model of a folder, looking as far ahead as the backtest does."""
    path = artifact / "model.onnx" if artifact.is_dir() else artifact
    try:
        return load_forecaster(path.read_bytes(), horizon_ms)
    except (OSError, ModelError) as exc:
        raise ConfigError("--model", str(artifact), f"a forecaster that a worker can ask ({exc})") from exc


def _named(value: str) -> tuple[str, str | None]:
    column, _, target = value.rpartition("=") if "=" in value else (value, "", None)
    if target is not None and target not in TARGETS:
        raise ConfigError("--value", value, f"COLUMN or COLUMN=TARGET with one of {', '.join(TARGETS)}")
    return column, target


def _table(result: Backtest, asked_ms: int) -> list[str]:
    """Lines that show one column's result."""
    since = datetime.fromtimestamp(result.test_from_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    instead = "" if result.horizon_ms == asked_ms else f" (the whole periods nearest {_length(asked_ms)})"
    lines = [
        f"{result.column}{f' as {result.target}' if result.target else ''}: {result.samples} samples, "
        f"one per {_length(result.period_ms)}, {result.dropped} empty cells left out",
        f"  {result.n} forecasts {_length(result.horizon_ms)} ahead{instead}, of samples from {since} UTC on",
    ]
    if not result.n:
        return [*lines, "  nothing to score: no sample lies one horizon after another in the test part", ""]
    lines.append(f"  {'forecaster':<22}{'MAE':>12}{'MAPE %':>10}{'R2':>9}{'covered %':>11}{'width':>12}")
    for one in result.forecasters:
        mape = "-" if one.mape is None else f"{100 * one.mape:.1f}"
        r2 = "-" if one.r2 is None else f"{one.r2:.3f}"
        coverage = f"{100 * one.coverage:.1f}"
        lines.append(f"  {one.name:<22}{one.mae:>12.5g}{mape:>10}{r2:>9}{coverage:>11}{one.width:>12.5g}")
    if result.ratio is not None:
        lines.append(f"  published / better of persistence and moving average: {result.ratio:.3f}")
    if result.trainings:
        lines.append(f"  {len(result.trainings)} trainings on the way, {result.kept} served")
        lines += [f"    {turn.version} refused: {turn.refused}" for turn in result.trainings if turn.refused]
    return [*lines, ""]


def _length(ms: int) -> str:
    """A length of time in its greatest whole unit."""
    unit = next(name for name in ("d", "h", "min", "s", "ms") if ms % _UNITS[name] == 0)
    return f"{ms // _UNITS[unit]} {unit}"
