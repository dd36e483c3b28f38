"""Detection on labelled public data: one table per data set, one configuration, thresholds frozen after training.

The data are not in this repository: a folder with `ms-cloud-monitoring` (point labels),
`asd` (servers of 19 metrics as npz) or `nezha` (typed faults in pods), as published.
Training is the first 15 % of a series, for ASD its own training part.

    python -m tests.bench.anomaly DATA
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from offline.backtest.anomaly import Quality, label_of, metrics_of, quality_of, random_quality_of, watch
from offline.series import Series, read_series
from online_models.anomaly.detector import ALARMS_PER_DAY
from tests.bench.nezha import faults_of, pods_of

_DAY_MS: Final = 86_400_000


class Given(NamedTuple):
    """A labelled series and the share of it that is for training."""

    series: Series
    metrics: Sequence[str]
    label: np.ndarray
    train_fraction: float


def run(folder: Path) -> dict[str, Any]:
    """All tables that the folder has the data of."""
    tables: dict[str, Any] = {}
    if (folder / "ms-cloud-monitoring").exists():
        tables["ms"] = _labelled(_ms(folder / "ms-cloud-monitoring"))
    if (folder / "asd").exists():
        tables["asd"] = _labelled(_asd(folder / "asd"))
    if (folder / "nezha").exists():
        pods = list(pods_of(folder / "nezha"))
        tables["nezha"] = faults_of(pods, clean=False)
        tables["nezha_clean"] = faults_of(pods, clean=True)
    return tables


def _ms(folder: Path) -> Iterator[Given]:
    for path in sorted(folder.glob("data/*/*.csv")):
        series = read_series(path)
        label = label_of(series, None)
        assert label is not None, path
        yield Given(series, metrics_of(series, label), np.nan_to_num(series.columns[label]) > 0.5, 0.15)


def _asd(folder: Path) -> Iterator[Given]:
    for path in sorted(folder.glob("*.npz")):
        held = np.load(path)
        values = np.concatenate([held["train"], held["test"]]).astype(float)
        label = np.concatenate([np.zeros(len(held["train"]), bool), held["test_label"] > 0])
        time_ms = 1_600_041_600_000 + np.arange(len(values)) * 300_000
        columns = {f"kpi_{j}": values[:, j] for j in range(values.shape[1])}
        series = Series(time_ms, columns, time_ms.astype(str).tolist())
        yield Given(series, tuple(columns), label, len(held["train"]) / len(values))


def _labelled(given: Iterator[Given]) -> dict[str, Any]:
    """Sums over the series; the areas are means over those with events."""
    found: list[Quality] = []
    chance: list[Quality] = []
    days = seconds = rows = 0.0
    for series, metrics, label, fraction in given:
        watched = watch(series, metrics, fraction, ALARMS_PER_DAY)
        found.append(quality_of(watched, label))
        chance.append(random_quality_of(watched, label))
        days += float(series.time_ms[-1] - series.time_ms[watched.trained]) / _DAY_MS
        seconds += watched.seconds
        rows += len(series)
    return {
        "series": len(found),
        "detector": _sum(found, days),
        "random": _sum(chance, days),
        "us_per_row": round(seconds / rows * 1e6, 2),
    }


def _sum(qualities: Sequence[Quality], days: float) -> dict[str, Any]:
    events, alarms = sum(q.events for q in qualities), sum(q.alarms for q in qualities)
    false_alarms = sum(q.false_alarms for q in qualities)
    delays = [q.median_delay_s for q in qualities if q.median_delay_s is not None]
    areas = {name: [getattr(q, name) for q in qualities if q.events] for name in ("auc_pr", "vus_pr")}
    return {
        "events": events,
        "recall": sum(q.found for q in qualities) / events,
        "false_alarms_per_day": false_alarms / days,
        "precision": 1 - false_alarms / alarms,
        "median_delay_s": float(np.median(delays)),
        **{name: float(np.mean(values)) for name, values in areas.items()},
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1])), indent=2))
