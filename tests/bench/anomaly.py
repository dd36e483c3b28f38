"""Anomalies and drift: one table per data set, one configuration, thresholds frozen after training.

The public data are not in this repository: a folder with `ms-cloud-monitoring` (point labels), `asd` (servers of
19 metrics as npz), `nezha` (typed faults in pods) or `speedtest-wizardtim` (a line with two upgrades), as published.
Training is the first 15 % of a series, for ASD its own training part. With seeds, the worker's detectors are held
against simulated faults besides: 12 nodes for a day and 48 links for two days per seed.

    python -m tests.bench.anomaly DATA [SEED...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from offline.backtest.anomaly import Quality, label_of, metrics_of, quality_of, random_quality_of, watch
from offline.backtest.fault_command import Report, report_faults
from offline.series import Series, read_series
from online_models.anomaly.detector import ALARMS_PER_DAY
from tests.bench.drift import stationary_false_alerts, upgrades_found
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
    if (folder / "speedtest-wizardtim").exists():
        tables["upgrades"] = upgrades_found(folder / "speedtest-wizardtim")
    tables["stationary"] = stationary_false_alerts()
    return tables


def simulated(seeds: Sequence[int]) -> dict[str, Any]:
    """The worker's detectors against simulated faults, nodes and links apart, summed over seeds."""
    return {
        "nodes": _faults([_simulate(seed, False) for seed in seeds]),
        "links": _faults([_simulate(seed, True) for seed in seeds]),
    }


def _simulate(seed: int, links: bool) -> Report:
    size = ("network", "48", "172800") if links else ("system", "24", "86400")
    with tempfile.TemporaryDirectory() as folder:
        recording, truth = Path(folder, "a.jsonl.zst"), Path(folder, "a.truth")
        words = ["--seed", seed, "--only", size[0], "--links", size[1], "--seconds", size[2], "--faults", "random"]
        words += ["--out", recording, "--truth", truth, "--quiet", "--json"]
        subprocess.run(
            [sys.executable, "-m", "streams.cli", "simulate", *map(str, words)], check=True, stdout=subprocess.DEVNULL
        )
        return report_faults(recording, truth, links=links)


def _faults(reports: Sequence[Report]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name in reports[0].detector.types:
        own = [report.detector.types[name] for report in reports]
        if sum(one.injected for one in own):
            rows[name] = {key: sum(getattr(one, key) for one in own) for key in ("injected", "found", "typed")}
    for name in ("detector", "three_sigma", "random"):
        scores = [getattr(report, name) for report in reports]
        total = {key: sum(getattr(one, key) for one in scores) for key in ("injected", "found", "typed")}
        days = sum(one.days for one in scores)
        rate = sum(one.false_alarms for one in scores) / days
        delays = [one.median_delay_s for one in scores if one.median_delay_s is not None]
        rows[name] = {**total, "false_alarms_per_day": round(rate, 3), "median_delay_s": float(np.median(delays))}
    return rows


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
    found = run(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        found |= simulated([int(seed) for seed in sys.argv[2:]])
    print(json.dumps(found, indent=2))
