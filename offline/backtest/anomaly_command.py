"""`dwcp backtest anomaly`: the detector over a CSV file, and against its labels where it has them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np

from offline.backtest.anomaly import (
    Alarm,
    Quality,
    Watched,
    alarms_of,
    label_of,
    metrics_of,
    quality_of,
    random_quality_of,
    watch,
)
from offline.backtest.fault_command import report_faults, show_faults
from offline.series import Series, read_series
from online_models.anomaly.calibration import FALSE_ALARMS_PER_NODE_DAY
from online_models.anomaly.detector import ALARMS_PER_DAY
from online_models.anomaly.link_watch import FALSE_ALARMS_PER_LINK_DAY
from schemas.error import ConfigError, InfraError

_SHOWN: Final = 20
_COLUMNS: Final = (
    ("recall", "event recall", "{:.3f}"),
    ("false_alarms_per_day", "false alarms per day", "{:.3f}"),
    ("precision", "precision of alarms", "{:.3f}"),
    ("median_delay_s", "median delay, s", "{:.0f}"),
    ("auc_pr", "AUC-PR", "{:.3f}"),
    ("vus_pr", "VUS-PR", "{:.3f}"),
)


class Report(msgspec.Struct, frozen=True):
    """The JSON document."""

    file: str
    metrics: tuple[str, ...]
    rows: int
    trained_rows: int
    budget_alarms_per_day: float
    threshold: float
    alarms: int
    us_per_row: float
    labels: Quality | None
    random: Quality | None
    alerts: list[Alarm]


@click.command(epilog="How it works is described at the top of online_models/anomaly/detector.py.")
@click.option("--csv", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="A file with a header, a time column and metrics.")  # fmt: skip
@click.option("--recording", type=click.Path(dir_okay=False, path_type=Path),
              help="Instead of a CSV file: a recording of nodes or links, for the worker's own detectors.")  # fmt: skip
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path),
              help="The faults in the recording, as `dwcp simulate --truth` writes them.")  # fmt: skip
@click.option("--time", help="The time column. Default: one called timestamp, time, date or the like, else the first.")
@click.option("--value", "values", multiple=True, help="A metric; may be repeated. Default: every column of numbers.")
@click.option("--label", help="The column with 1 for anomalous samples, for scoring only. Default: one called label.")
@click.option("--train-fraction", default=0.15, show_default=True, type=click.FloatRange(0, 1),
              help="Share of the rows after which the threshold is frozen.")  # fmt: skip
@click.option("--alarms-per-day", type=click.FloatRange(0, 1000, min_open=True),
              help=f"Budget of false alarms per day. Default: {ALARMS_PER_DAY} a series, "
                   f"{FALSE_ALARMS_PER_NODE_DAY} a node, {FALSE_ALARMS_PER_LINK_DAY} a link.")  # fmt: skip
@click.option("--forest", type=click.Path(dir_okay=False, path_type=Path),
              help="With a recording of nodes: model.onnx of `dwcp train anomaly`, asked as in a worker.")  # fmt: skip
@click.option("--links", is_flag=True, help="Of the recording, watch the links instead of the nodes.")
@click.option("--scores", type=click.Path(dir_okay=False, path_type=Path),
              help="Write timestamp,value,anomaly_score,is_alert of every row.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, with every alert.")
def anomaly(
    path: Path | None, recording: Path | None, truth: Path | None, time: str | None, values: tuple[str, ...],
    label: str | None, train_fraction: float, alarms_per_day: float | None, forest: Path | None, links: bool,
    scores: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Find anomalies in a CSV file or a recording, in one pass, as the stream would.

    One configuration for every file: any period, any scale, one metric or many. Labels
    are never learned from. The threshold follows the scores over the training part, so
    that what is normal exceeds it as often as the budget allows, and is frozen then;
    alerts in the training part are listed but not scored.

    A score of 0.5 is the threshold. An alert is one event from its first sample to its
    last, and is scored without point adjustment: beside it stands what the same alerts
    at random places reach. The value in the scores is that of the metric that pushed most.

    \b
    One metric:     dwcp backtest anomaly --csv rps.csv --label Label
    Many:           dwcp backtest anomaly --csv server.csv --json --scores scored.csv
    Fewer alarms:   dwcp backtest anomaly --csv rps.csv --alarms-per-day 0.1
    The worker's:   dwcp simulate --only system --seconds 14400 --faults random --out a.jsonl.zst --truth a.truth
                    dwcp backtest anomaly --recording a.jsonl.zst --truth a.truth
    Links, too:     the same with --only network, and --links
    """
    if (path is None) == (recording is None) or (recording is None) != (truth is None):
        raise click.UsageError("Say what to watch: --csv FILE, or --recording FILE with --truth FILE.")
    if forest is not None and (recording is None or links):
        raise click.UsageError("--forest goes with --recording of nodes.")
    if recording is not None and truth is not None:
        faults = report_faults(recording, truth, alarms_per_day, links, forest)
        if as_json:
            click.echo(msgspec.json.encode(faults).decode())
        else:
            show_faults(faults)
        return
    assert path is not None
    report = _watch(path, time, values, label, train_fraction, alarms_per_day or ALARMS_PER_DAY, scores)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _show(report)


def _watch(
    path: Path, time: str | None, values: tuple[str, ...], label: str | None, train_fraction: float,
    alarms_per_day: float, scores: Path | None,
) -> Report:  # fmt: skip
    wanted = [*values, label] if values and label else list(values)
    series = read_series(path, time, wanted)
    if label is not None and label not in series.columns:
        raise ConfigError("--label", label, f"a column of numbers in {path.name}: {', '.join(series.columns)}")
    label = label_of(series, label)
    metrics = metrics_of(series, label)
    if not metrics:
        raise ConfigError("--csv", str(path), "a file with a metric besides time and label")
    watched = watch(series, metrics, train_fraction, alarms_per_day)
    report = _report(path, watched, label, alarms_per_day)
    if scores is not None:
        _write_scores(scores, watched)
    return report


def _report(path: Path, watched: Watched, label: str | None, alarms_per_day: float) -> Report:
    quality = chance = None
    truth = _truth(watched.series, label)
    if truth is not None and watched.trained < len(truth):
        quality, chance = quality_of(watched, truth), random_quality_of(watched, truth)
    alarms = alarms_of(watched)
    return Report(
        file=str(path),
        metrics=watched.metrics,
        rows=len(watched.series),
        trained_rows=watched.trained,
        budget_alarms_per_day=alarms_per_day,
        threshold=watched.threshold,
        alarms=sum(not alarm.in_training for alarm in alarms),
        us_per_row=round(watched.seconds / len(watched.series) * 1e6, 3),
        labels=quality,
        random=chance,
        alerts=alarms,
    )


def _truth(series: Series, label: str | None) -> np.ndarray | None:
    return None if label is None else np.nan_to_num(series.columns[label]) > 0.5


def _write_scores(path: Path, watched: Watched) -> None:
    found = watched.found
    value = np.take_along_axis(watched.values, watched.pushed[:, None], axis=1)[:, 0]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("timestamp", "value", "anomaly_score", "is_alert"))
            for text, one, score, alert in zip(watched.series.text, value, found.score, found.alert, strict=True):
                writer.writerow((text, "" if np.isnan(one) else repr(float(one)), f"{score:.6f}", int(alert)))
    except OSError as exc:
        raise InfraError(f"cannot write {path}: {exc.strerror}; give --scores a file that can be written") from exc


def _show(report: Report) -> None:
    trained, tested = report.trained_rows, report.rows - report.trained_rows
    click.echo(f"{report.file}: {len(report.metrics)} metrics, {trained:,} rows learned, {tested:,} judged")
    click.echo(f"{report.alarms} alarms, {report.us_per_row} us per row")
    for alarm in report.alerts[:_SHOWN]:
        when = alarm.begin if alarm.begin == alarm.end else f"{alarm.begin} to {alarm.end}"
        training = "  (training part)" if alarm.in_training else ""
        click.echo(f"  {when}  {alarm.type}  {alarm.metric} = {alarm.value:g}  score {alarm.score:.2f}{training}")
    if len(report.alerts) > _SHOWN:
        click.echo(f"  and {len(report.alerts) - _SHOWN} more: --json lists all")
    if report.labels is None or report.random is None:
        return
    click.echo(f"{'':24}{'detector':>10}{'random':>10}")
    for name, title, form in _COLUMNS:
        cells = [getattr(quality, name) for quality in (report.labels, report.random)]
        click.echo(f"{title:24}" + "".join(f"{'-' if cell is None else form.format(cell):>10}" for cell in cells))
