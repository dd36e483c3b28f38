"""`dwcp backtest drift`: when the metrics of a CSV file changed for good."""

from __future__ import annotations

import time as clock
from pathlib import Path

import click
import msgspec
import numpy as np

from offline.backtest.anomaly import label_of, metrics_of
from offline.backtest.drift import Alert, Distance, distances_of, drifts_of
from offline.series import read_series
from online_models.drift.change import ChangeDetector
from schemas.error import ConfigError


class Report(msgspec.Struct, frozen=True):
    """The JSON document."""

    file: str
    features: tuple[str, ...]
    rows: int
    us_per_value: float
    alerts: list[Alert]
    distances: list[Distance]


@click.command(epilog="How it works is described at the top of online_models/drift/change.py.")
@click.option("--csv", "path", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="A file with a header, a time column and metrics.")  # fmt: skip
@click.option("--time", help="The time column. Default: one called timestamp, time, date or the like, else the first.")
@click.option("--value", "values", multiple=True, help="A metric; may be repeated. Default: every column of numbers.")
@click.option("--reference", default=0.15, show_default=True, type=click.FloatRange(0, 1, min_open=True),
              help="Share of the rows, at either end, whose distributions are compared.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def drift(path: Path, time: str | None, values: tuple[str, ...], reference: float, as_json: bool) -> None:
    """Find lasting changes of mean or variance in a CSV file, in one pass, as the stream would.

    Tests run on the residuals of a running forecast, not on the metrics themselves, so
    that a day's cycle and slow wandering raise nothing. A change is alerted once; level and
    spread are learned anew after it, which takes 64 values. Beside the alerts stand PSI and KS of
    the last part of the file against the first.

    \b
    All columns:   dwcp backtest drift --csv speedtests.csv
    Some:          dwcp backtest drift --csv speedtests.csv --time start --value download --value ping --json
    """
    series = read_series(path, time, values)
    features = tuple(values) or metrics_of(series, label_of(series, None))
    if not features:
        raise ConfigError("--csv", str(path), "a file with a metric besides time and label")
    ChangeDetector().step(series.time_ms[:2], np.zeros(2))  # compiles
    began = clock.perf_counter()
    alerts = drifts_of(series, features)
    us_per_value = (clock.perf_counter() - began) / (len(series) * len(features)) * 1e6
    distances = distances_of(series, features, reference)
    report = Report(str(path), features, len(series), round(us_per_value, 3), alerts, distances)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _show(report)


def _show(report: Report) -> None:
    click.echo(f"{report.file}: {report.rows:,} rows, {len(report.alerts)} changes")
    for alert in report.alerts:
        click.echo(f"  {alert.time}  {alert.feature}  {alert.statistic} {alert.value:.3g} > {alert.threshold:g}")
    click.echo(f"{'last part against first':24}{'PSI':>8}{'':>8}{'KS':>8}{'chance':>8}")
    for distance in report.distances:
        click.echo(f"{distance.feature[:24]:24}{distance.psi:8.3f}{distance.psi_level:>8}"
                   f"{distance.ks:8.3f}{distance.ks_limit:8.3f}")  # fmt: skip
