"""`dwcp backtest performance`: breaches of an objective in any series, predicted and scored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from offline.backtest.performance import ORIGINS, PerformanceBacktest, backtest_series
from offline.series import read_series
from schemas.error import ConfigError
from schemas.performance import HORIZON_STEPS


@click.command()
@click.option("--csv", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to read.")
@click.option("--time", metavar="COLUMN", help="Time column; by default one named like a time, else the first.")
@click.option("--value", "values", multiple=True, metavar="COLUMN",
              help="Column to watch, again for more; by default every column of numbers.")  # fmt: skip
@click.option("--objective", type=float, help="What values must not exceed.")
@click.option("--objective-quantile", type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True), default=0.95,
              show_default=True, help="Else: this quantile of the first 60 % of the values.")  # fmt: skip
@click.option("--horizon", type=click.IntRange(1, 20), default=HORIZON_STEPS, show_default=True, help="In samples.")
@click.option("--origins", type=click.IntRange(1, 20), default=ORIGINS, show_default=True,
              help="Points to train anew at, evenly over the last 40 %.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the trees.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def performance(
    path: Path, time: str | None, values: Sequence[str], objective: float | None, objective_quantile: float,
    horizon: int, origins: int, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Predict whether the columns of a CSV file break an objective within the horizon, and their values at its end.

    Each column is one series; its inputs are its last 60 samples and the calendar. From each origin everything is
    trained anew on rows whose labels were known by then, and scored on those up to the next origin; rows of one
    class only have no areas. `chosen` is the cheapest method that none beats by 1 %, and not by luck,
    on the last fifth of each training, breach and value apart; `online` is the worker's own predictor, which
    learns while the series streams.

    \b
    One file:        dwcp backtest performance --csv latency.csv --objective 200
    For a program:   dwcp backtest performance --csv latency.csv --json | jq '.columns[].methods[0].breach.pr_auc'
    """
    series = read_series(path, time, list(values))
    found, unfit = [], {}
    for column in values or series.columns:
        click.echo(f"predicting {column}: {len(series)} rows", err=True)
        try:
            found.append(
                backtest_series(
                    column,
                    series.time_ms,
                    series.columns[column],
                    objective,
                    objective_quantile,
                    horizon,
                    seed,
                    origins,
                )
            )
        except ConfigError as exc:
            if values or len(series.columns) == 1:
                raise
            unfit[column] = str(exc)
            click.echo(f"left out {column}: {exc}", err=True)
    if not found:
        raise ConfigError("--csv", str(path), f"a file with a column to predict; {'; '.join(unfit.values())}")
    if as_json:
        click.echo(msgspec.json.encode({"csv": str(path), "seed": seed, "columns": found, "left_out": unfit}))
        return
    for result in found:
        click.echo("\n".join(_table(result)))


def _table(result: PerformanceBacktest) -> list[str]:
    """Lines that show one column's result."""
    since = datetime.fromtimestamp(result.first_origin_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    judged = result.methods[0].breach
    lines = [
        f"{result.column}: {result.samples} samples, one per {result.period_ms / 1000:g} s, {result.dropped} left out",
        f"  {judged.n} rows from {since} UTC on, {result.origins} origins; within {result.horizon} samples "
        f"{100 * judged.base_rate:.2f} % exceed {result.objective:g}; online {result.us_per_sample:.1f} us per sample",
    ]
    if result.note:
        lines.append(f"  {result.note}")
    heads = ("PR-AUC", "ROC-AUC", "Brier", "ECE", "MAE", "R2", "MAPE %")
    lines.append(f"  {'method':<16}" + "".join(f"{head:>10}" for head in heads))
    for one in result.methods:
        b, v = one.breach, one.latency
        mape = None if v.mape is None else 100 * v.mape
        cells = (b.pr_auc, b.roc_auc, b.brier, b.ece, v.mae, v.r2, mape)
        lines.append(f"  {one.name:<16}" + "".join(f"{_cell(cell):>10}" for cell in cells))
    lines.append(f"  chosen: breach by {', '.join(result.chosen_breach)}; value by {', '.join(result.chosen_latency)}")
    if result.importance:
        lines.append(f"  driven by {', '.join(result.importance)}")
    return [*lines, ""]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
