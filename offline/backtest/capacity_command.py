"""`dwcp backtest capacity`: forecasts weeks ahead of any series, scored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from offline.backtest.bandwidth_command import Duration
from offline.backtest.capacity import ORIGINS, CapacityBacktest, backtest_history
from offline.capacity.event import read_events, without_events
from offline.capacity.history import HOUR_MS, make_history
from offline.capacity.pool import SIMPLE
from offline.series import read_series
from schemas.error import ConfigError


@click.command()
@click.option("--csv", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to read.")
@click.option("--time", metavar="COLUMN", help="Time column; by default one named like a time, else the first.")
@click.option("--value", "values", multiple=True, metavar="COLUMN",
              help="Column to forecast, again for more; by default every column of numbers.")  # fmt: skip
@click.option("--horizon", type=Duration(), default="30d", show_default=True,
              help="How far ahead; at most a third of the series.")  # fmt: skip
@click.option("--origins", type=click.IntRange(1), default=ORIGINS, show_default=True,
              help="Forecasts to make, evenly over the last half.")  # fmt: skip
@click.option("--events", type=click.Path(dir_okay=False, path_type=Path),
              help="CSV file of holidays and events (name, start, end); left out of it all.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def capacity(
    path: Path,
    time: str | None,
    values: Sequence[str],
    horizon: int,
    origins: int,
    events: Path | None,
    as_json: bool,
) -> None:
    """Forecast the columns of a CSV file from many points in their past, and score that.

    Values are made means of an hour (of a day or longer where the file has no more). From each
    origin in the last half of a series everything is learned anew from what came before it, and scored on all
    that came after. `blend` is what `dwcp capacity forecast` makes; the others are what it is made of.
    MASE is the error over that of seasonal naive before the origin, ratio over that of seasonal naive at the
    same origins; width is that of the 95 % interval.

    \b
    One file, every column:   dwcp backtest capacity --csv load.csv
    For a program:            dwcp backtest capacity --csv load.csv --json | jq '.columns[].excess'
    """
    series = read_series(path, time, list(values))
    found, unfit = [], {}
    known = read_events(events) if events else []
    for column in values or series.columns:
        click.echo(f"forecasting {column}: {len(series)} rows", err=True)
        try:
            history = make_history(column, series.time_ms, series.columns[column])
        except ConfigError as exc:
            if values or len(series.columns) == 1:
                raise
            unfit[column] = str(exc)
            click.echo(f"left out {column}: {exc}", err=True)
            continue
        found.append(backtest_history(column, without_events(history, known), horizon, origins))
    if not found:
        raise ConfigError("--csv", str(path), f"a file with a column that can be forecast; {'; '.join(unfit.values())}")
    if as_json:
        click.echo(msgspec.json.encode({"csv": str(path), "columns": found, "left_out": unfit}))
        return
    for result in found:
        click.echo("\n".join(_table(result)))


def _table(result: CapacityBacktest) -> list[str]:
    """Lines that show one column's result."""
    since = datetime.fromtimestamp(result.first_origin_ms / 1000, UTC).strftime("%Y-%m-%d")
    lines = [
        f"{result.column}: {result.points} points, one per {result.step_ms / HOUR_MS:g} h, {result.span_days:.1f} days",
        f"  {result.origins} origins from {since} on, {result.horizon_days:g} days ahead, {result.scored} values, "
        f"{1000 * result.seconds_per_series:.0f} ms per forecast",
    ]
    if result.note:
        lines.append(f"  {result.note}")
    lines.append(f"  {'method':<18}{'MASE':>9}{'WAPE %':>9}{'ratio':>8}{'covered %':>11}{'width':>12}{'weight':>9}")
    for one in result.methods:
        mase, ratio = (f"{value:.3f}" if value is not None else "-" for value in (one.mase, one.ratio))
        wape = "-" if one.wape is None else f"{100 * one.wape:.1f}"
        weight = "" if one.name not in result.weights else f"{result.weights[one.name]:.2f}"
        name = f"{one.name}{' *' if one.name in SIMPLE else ''}"
        lines.append(
            f"  {name:<18}{mase:>9}{wape:>9}{ratio:>8}{100 * one.coverage:>11.1f}{one.width:>12.5g}{weight:>9}"
        )
    excess = "-" if result.excess is None else f"{result.excess:.3f}"
    return [*lines, f"  blend / best of the simple methods (*), {result.best_simple}: {excess}", ""]
