"""Forecasts of public series 30 days ahead, or a third of the series where that is less: one table, one configuration.

The data are not in this repository: a folder with `ms-cloud-monitoring`, `speedtest-wizardtim`, `datacenter-traces`,
`prophet-examples`, `asd` and `jitterbug-rtt`, as published; what is not there is left out. Constants were chosen on the
series of at least 28 days and, for widths, on three of the six servers of `asd`. The other three and the series of a
week to four were asked with what was chosen.
Each is forecast from points in its last half, everything learned anew from what came before, as
`dwcp backtest capacity` does. `tests/bench/crossing.py` asks the chances of the same series.

    python -m tests.bench.outlook DATA --json
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.backtest.capacity import CapacityBacktest, Quality, backtest_history
from offline.capacity.blend import MODEL_NAME
from offline.capacity.history import DAY_MS, History, make_history
from offline.series import NO_TIME, read_series
from schemas.error import ConfigError

ASKED_DAYS: Final = 30
LEAST_DAYS: Final = 28
LIMIT: Final = 1.05
"""Over the best simple method, known only afterwards."""

CHOSEN_ON_TOO: Final = ("omi-1", "omi-5", "omi-9")
"""Servers of ASD, every second by name; widths were chosen on them, too."""

PARTS: Final = ("chosen on", "chosen on, too", "held out, servers", "held out, short")
_LEAST: Final = 1e-9

_FILES: Final = (
    ("ms", "ms-cloud-monitoring/data/*/*.csv", None, 0, ("Value",)),
    ("wizardtim", "speedtest-wizardtim/speedtests.csv", "datetimestart", 0, ("ping", "download", "upload")),
    ("google", "datacenter-traces/google2019/*_month.csv", NO_TIME, 300_000, ()),
    ("azure", "datacenter-traces/azure_v2/*_mem.csv", None, 300_000, ()),
    ("prophet", "prophet-examples/examples/*.csv", "ds", 0, ()),
    (
        "alibaba", "datacenter-traces/alibaba2018/*_300_seconds.csv", NO_TIME, 300_000,
        ("cpu_util_percent", "mem_util_percent", "disk_io_percent"),
    ),
    ("jitterbug", "jitterbug-rtt/examples/*/data/raw.csv", "epoch", 0, ()),
)  # fmt: skip
"""Name, files, time column, period where there is none, columns; by default all."""


def part_of(name: str, history: History) -> str:
    """Whether a series had a say in what was chosen, one of `PARTS`."""
    if len(history) * history.step_ms < LEAST_DAYS * DAY_MS:
        return PARTS[3]
    source, server, *_ = name.split()
    return PARTS[0] if source != "asd" else PARTS[1] if server in CHOSEN_ON_TOO else PARTS[2]


def series_in(folder: Path) -> Iterator[tuple[str, History]]:
    """Every series of the folder that can be forecast, by name; the source is its first word."""
    for source, pattern, clock, period_ms, columns in _FILES:
        for path in sorted(folder.glob(pattern)):
            series = read_series(path, clock, list(columns), period_ms)
            for column, values in series.columns.items():
                stem = path.stem.removeprefix("example_")
                try:
                    history = make_history(column, series.time_ms, values)
                except ConfigError:
                    continue
                yield f"{source} {stem if len(series.columns) == 1 else column}", history
    for path in sorted(folder.glob("asd/*.npz")):
        with np.load(path) as file:
            table = np.concatenate([file["train"], file["test"]]).astype(np.float64)
        times = 300_000 * np.arange(len(table), dtype=np.int64)
        for k in range(table.shape[1]):
            yield f"asd {path.stem} {k + 1}", make_history(str(k), times, table[:, k])


def summary_of(found: dict[str, CapacityBacktest]) -> dict[str, object]:
    """What the series show together; those without a ratio, which a simple method is never wrong on, are counted."""
    judged = {name: one for name, one in found.items() if _of(one).ratio is not None and one.excess is not None}
    ratio = np.array([_of(one).ratio for one in judged.values()])
    excess = {name: one.excess for name, one in judged.items() if one.excess is not None}
    coverage = np.array(sorted(_of(one).coverage for one in found.values()))
    pool = [min(q.ratio for q in one.methods[1:] if q.ratio is not None) for one in judged.values()]
    seconds = [one.seconds_per_series for one in found.values()]
    return {
        "series": len(found),
        "without_a_ratio": len(found) - len(judged),
        "over_seasonal_naive": _geometric_mean(ratio),
        "best_simple_in_hindsight": _geometric_mean(ratio / np.array(list(excess.values()))),
        "best_of_the_pool_in_hindsight": _geometric_mean(np.array(pool)),
        "worse_by_5_pct": {name: value for name, value in excess.items() if value > LIMIT},
        "coverage": float(coverage.mean()),
        "coverage_of_worst_tenth": float(coverage[: max(round(len(coverage) / 10), 1)].mean()),
        "cpu_ms_per_series": [1000 * float(np.median(seconds)), 1000 * max(seconds)],
    }


def _geometric_mean(values: NDArray[np.float64]) -> float:
    return float(np.exp(np.log(np.maximum(values, _LEAST)).mean()))


def _of(one: CapacityBacktest) -> Quality:
    return next(quality for quality in one.methods if quality.name == MODEL_NAME)


def _row(name: str, one: CapacityBacktest) -> str:
    blend = _of(one)
    mase, ratio, excess = ("-" if v is None else f"{v:.3f}" for v in (blend.mase, blend.ratio, one.excess))
    cells = (name, f"{one.span_days:.0f}", f"{one.horizon_days:.0f}", one.origins, mase, ratio, excess, one.best_simple)
    measured = (f"{100 * blend.coverage:.1f}", f"{1000 * one.seconds_per_series:.0f}")
    return "| " + " | ".join(str(cell) for cell in (*cells, *measured)) + " |"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--part", "only", multiple=True, type=click.Choice(PARTS), help="Only these; by default all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(folder: Path, only: tuple[str, ...], as_json: bool) -> None:
    """Forecast every series of FOLDER as `dwcp capacity forecast` does; a table, and what the README says of it."""
    began, found = time.process_time(), {}
    parts: dict[str, dict[str, CapacityBacktest]] = {part: {} for part in PARTS}
    for name, history in series_in(folder):
        part = part_of(name, history)
        if only and part not in only:
            continue
        click.echo(f"{name}: {history.points:,} steps", err=True)
        parts[part][name] = found[name] = backtest_history(name, history, ASKED_DAYS * DAY_MS)
    if not found:
        raise click.UsageError(f"{folder} has none of the data sets named at the top of this file")
    summary = {part: summary_of(some) for part, some in parts.items() if some}
    click.echo(f"{time.process_time() - began:.0f} s of CPU", err=True)
    if as_json:
        click.echo(msgspec.json.encode({"summary": summary, "series": found}))
        return
    click.echo("| series | days | ahead | origins | MASE | over naive | over best simple | which | covered % | ms |")
    click.echo("|---|---|---|---|---|---|---|---|---|---|")
    for name, one in found.items():
        click.echo(_row(name, one))
    for part, said in summary.items():
        click.echo(f"{part}: {msgspec.json.encode(said).decode()}")


if __name__ == "__main__":
    main()
