"""Forecasts of public series 15 minutes ahead, or one period where that is longer: one table, one configuration.

With `--horizon` at another one instead, of the series whose period divides it.

The data are not in this repository: a folder with `jitterbug-rtt`, `ms-cloud-monitoring`,
`speedtest-wizardtim` and `datacenter-traces`, as published; what is not there is left out. Every series goes
through the forecaster that workers run, from its first sample on; the last 15 % are scored. Boosting is trained on
the way, as `dwcp backtest bandwidth` does by default; what the same forecasts are without it stands beside.

    python -m tests.bench.forecast DATA --json
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.backtest.bandwidth import Backtest, Quality, backtest_column
from offline.backtest.bandwidth_command import RETRAIN, Duration, Regularity
from offline.backtest.grid import Grid, make_grid
from offline.backtest.retrain import Retraining
from offline.series import NO_TIME, read_series
from online_models.bandwidth.link import LINK
from schemas.network import HORIZON_MS

MINUTE_MS: Final = 60_000
MANY: Final = 300
"""Scores from which a share of 90 % is known to two points."""

_TRACES: Final = (
    ("alibaba 30 s", "alibaba2018/*_30_seconds.csv", NO_TIME, 30_000, ("cpu_util_percent", "mem_util_percent")),
    ("alibaba 5 min", "alibaba2018/*_300_seconds.csv", NO_TIME, 300_000, ("cpu_util_percent", "mem_util_percent")),
    ("google", "google2019/*_month.csv", NO_TIME, 300_000, ("avg_cpu", "avg_mem", "avg_cycles_per_instruction")),
    ("azure", "azure_v2/*_mem.csv", None, 300_000, ("cpu_usage", "assigned_mem")),
)
"""Of `datacenter-traces`: name, file, time column, period and columns."""


def series_in(folder: Path) -> Iterator[tuple[str, Grid]]:
    """Every series of the folder that bandwidth, latency or load is like, by name."""
    for path in folder.glob("jitterbug-rtt/examples/network_analysis/data/raw.csv"):
        series = read_series(path, "epoch", ["values"])
        yield "jitterbug rtt", make_grid("rtt", series.time_ms, series.columns["values"], 5 * MINUTE_MS)
        slot, jitter = _jitter(series.time_ms, series.columns["values"], 5 * MINUTE_MS)
        yield "jitterbug jitter", make_grid("jitter", slot, jitter, 5 * MINUTE_MS)
    for path in sorted(folder.glob("ms-cloud-monitoring/data/*/*.csv"), key=_numbered):
        series = read_series(path, values=["Value"])
        yield f"ms {path.stem}", make_grid("Value", series.time_ms, series.columns["Value"])
    for path in folder.glob("speedtest-wizardtim/speedtests.csv"):
        series = read_series(path, "datetimestart", ["ping", "download", "upload"])
        for name, values in series.columns.items():
            yield f"wizardtim {name}", make_grid(name, series.time_ms, values, 30 * MINUTE_MS)
    for source, pattern, clock, period_ms, columns in _TRACES:
        for path in sorted(folder.glob(f"datacenter-traces/{pattern}")):
            series = read_series(path, clock, columns, period_ms)
            for name in columns:
                yield f"{source} {name}", make_grid(name, series.time_ms, series.columns[name])


def _jitter(time_ms: NDArray[np.int64], value: NDArray[np.float64], period_ms: int) -> tuple[NDArray, NDArray]:
    """Mean distance of neighbouring probes in each slot that has two."""
    slot = time_ms // period_ms * period_ms
    same = slot[1:] == slot[:-1]
    return slot[1:][same], np.abs(np.diff(value))[same]


def _numbered(path: Path) -> list[object]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def summary_of(found: dict[str, Backtest], alone: dict[str, Backtest]) -> dict[str, object]:
    """What the series show together, and without training; a bar that is never wrong has no ratio."""
    ratio = {name: one.ratio for name, one in found.items() if one.ratio is not None}
    many = {name: _of(one).coverage for name, one in found.items() if one.n >= MANY}
    worst = max(ratio, key=lambda name: ratio[name])
    return {
        "series": len(found),
        "geometric_mean": _geometric_mean(list(ratio.values())),
        "geometric_mean_of_many": _geometric_mean([ratio[name] for name in many if name in ratio]),
        "geometric_mean_untrained": _geometric_mean([one.ratio for one in alone.values() if one.ratio is not None]),
        "geometric_mean_of_many_untrained": _geometric_mean(
            [alone[name].ratio or 1.0 for name in many if name in ratio]
        ),
        "worse_by_1_pct_untrained": {k: one.ratio for k, one in alone.items() if (one.ratio or 0.0) > 1.01},
        "worse_by_1_pct": {name: value for name, value in ratio.items() if value > 1.01},
        "worst": [worst, ratio[worst]],
        "many": len(many),
        "coverage_of_many": [min(many.values(), default=None), max(many.values(), default=None)],
        "bytes_per_link": LINK.itemsize,
    }


def _geometric_mean(values: list[float]) -> float | None:
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-9))))) if values else None


def _of(one: Backtest, name: str = "published") -> Quality:
    return next(quality for quality in one.forecasters if quality.name == name)


def _row(name: str, one: Backtest, alone: Backtest) -> str:
    said, last, mean = (_of(one, k) for k in ("published", "persistence", "moving_average"))
    ratio, untrained = ("-" if found.ratio is None else f"{found.ratio:.3f}" for found in (one, alone))
    every = f"{one.period_ms / MINUTE_MS:g} min"
    shown = f"| {name} | {every} | {one.n:,} | {said.mae:.4g} | {last.mae:.4g} | {mean.mae:.4g} | {ratio} |"
    return f"{shown} {100 * said.coverage:.1f} | {untrained} | {one.kept} of {len(one.trainings)} |"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--horizon", type=Duration(), help="How far ahead, e.g. 5min.")
@click.option("--retrain", "how", type=Regularity(), default=RETRAIN, show_default=True, help="As in the backtest.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the trainings.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(folder: Path, horizon: int | None, how: Retraining | None, seed: int, as_json: bool) -> None:
    """Forecast every series of FOLDER as a worker forecasts links; a table as the README's."""
    began, found, alone = time.process_time(), {}, {}
    trained = how and replace(how, seed=seed)
    for name, grid in series_in(folder):
        if horizon is not None and horizon % grid.period_ms:
            continue
        click.echo(f"{name}: {len(grid.value):,} samples", err=True)
        alone[name] = backtest_column(name, grid, horizon_ms=horizon or HORIZON_MS)
        found[name] = backtest_column(name, grid, horizon_ms=horizon or HORIZON_MS, trained=trained)
        click.echo(f"  {alone[name].ratio} untrained, {found[name].ratio} trained", err=True)
    if not found:
        raise click.UsageError(f"{folder} has none of the data sets that `--help` names")
    settings = {"retrain": msgspec.to_builtins(trained), "seed": seed, "horizon_ms": horizon or HORIZON_MS}
    summary = settings | summary_of(found, alone) | {"cpu_seconds": time.process_time() - began}
    if as_json:
        click.echo(msgspec.json.encode({"summary": summary, "series": found}))
        return
    click.echo(
        "| series | every | scores | MAE | persistence | moving average | ratio | covered % | untrained | served |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|---|")
    for name, one in found.items():
        click.echo(_row(name, one, alone[name]))
    click.echo(msgspec.json.encode(summary).decode())


if __name__ == "__main__":
    main()
