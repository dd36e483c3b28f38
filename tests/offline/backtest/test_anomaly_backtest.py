"""`dwcp backtest anomaly` as a user meets it, and its measures against slow ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.anomaly_command import anomaly
from offline.backtest.event_score import runs, score_events
from offline.backtest.volume import auc_pr, range_auc_pr, soften, vus_pr
from schemas.error import ConfigError, InfraError

ROWS = 3000
EVENTS = ((1000, 1004), (1700, 1720), (2500, 2503))


def _write(path: Path, shift: float = 80.0, labels: bool = True, names: tuple[str, ...] = ("cpu", "rtt")) -> Path:
    rng = np.random.default_rng(1)
    values = rng.normal(50, 3, (ROWS, len(names)))
    label = np.zeros(ROWS, int)
    for begin, end in EVENTS:
        values[begin:end, 0] += shift
        label[begin:end] = 1
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *names, *(["Label"] if labels else [])])
        for i in range(ROWS):
            stamp = f"2024-01-{1 + i // 1440:02d}T{i // 60 % 24:02d}:{i % 60:02d}:00Z"
            writer.writerow([stamp, *values[i].tolist(), *([label[i]] if labels else [])])
    return path


def run(*args: object) -> str:
    result = CliRunner().invoke(anomaly, list(map(str, args)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_events_are_found_and_scored_beside_chance(tmp_path: Path) -> None:
    report = json.loads(run("--csv", _write(tmp_path / "a.csv"), "--json"))
    assert report["metrics"] == ["cpu", "rtt"]
    assert (report["rows"], report["trained_rows"]) == (ROWS, 450)
    assert report["labels"]["events"] == 3
    assert report["labels"]["recall"] == 1.0
    assert report["labels"]["false_alarms_per_day"] <= 1.5
    assert report["labels"]["median_delay_s"] <= 60
    assert report["labels"]["vus_pr"] > 0.3 > report["random"]["vus_pr"]
    assert report["random"]["recall"] < 0.5
    found = {alert["metric"] for alert in report["alerts"] if alert["begin"][8:13] == "01T16"}
    assert found == {"cpu"}
    assert {alert["type"] for alert in report["alerts"] if alert["deviation"] > 8} == {"resource_exhaustion"}


def test_labels_are_never_learned_from(tmp_path: Path) -> None:
    with_labels, without = tmp_path / "with.csv", tmp_path / "without.csv"
    run("--csv", _write(tmp_path / "a.csv"), "--scores", with_labels)
    run("--csv", _write(tmp_path / "b.csv", labels=False), "--scores", without)
    assert with_labels.read_bytes() == without.read_bytes()


def test_scores_have_a_line_per_row(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    run("--csv", _write(tmp_path / "a.csv"), "--scores", out)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "is_alert"]
    assert len(rows) == ROWS
    assert rows[0]["timestamp"] == "2024-01-01T00:00:00Z"
    score = np.array([float(row["anomaly_score"]) for row in rows])
    alert = np.array([row["is_alert"] == "1" for row in rows])
    assert ((score >= 0) & (score <= 1)).all()
    assert alert[score > 0.5].all()
    assert float(rows[1701]["value"]) > 65


def test_a_smaller_budget_raises_fewer_alarms(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", shift=25)
    counts = [json.loads(run("--csv", path, "--alarms-per-day", n, "--json"))["alarms"] for n in (0.01, 1, 30)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]


def test_one_metric_of_several_and_a_named_label(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv")
    report = json.loads(run("--csv", path, "--value", "rtt", "--label", "Label", "--json"))
    assert report["metrics"] == ["rtt"]
    assert report["labels"]["found"] == 0


def test_the_table_names_chance(tmp_path: Path) -> None:
    shown = run("--csv", _write(tmp_path / "a.csv"))
    assert "random" in shown
    assert "VUS-PR" in shown
    assert "resource_exhaustion" in shown
    assert "random" not in run("--csv", _write(tmp_path / "b.csv", labels=False))


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        (("--label", "truth"), ConfigError, "cpu, rtt"),
        (("--value", "ram"), ConfigError, "cpu, rtt"),
        (("--time", "when"), ConfigError, "time, cpu"),
        (("--scores", "/nowhere/x.csv"), InfraError, "--scores"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, args: tuple[str, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        run("--csv", _write(tmp_path / "a.csv"), *args)


def test_a_file_without_metrics_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,label\n2024-01-01,0\n")
    with pytest.raises(ConfigError, match="metric"):
        run("--csv", tmp_path / "a.csv")


@pytest.mark.parametrize("fraction", [0, 1])
def test_all_or_next_to_nothing_may_be_training(tmp_path: Path, fraction: int) -> None:
    report = json.loads(run("--csv", _write(tmp_path / "a.csv"), "--train-fraction", fraction, "--json"))
    assert (report["labels"] is None) == (fraction == 1)


@pytest.mark.parametrize(
    ("alert", "label", "found", "false_alarms", "delay_s"),
    [
        ("0011100", "0001100", 1, 0, 0.0),
        ("0000100", "0001100", 1, 0, 60.0),
        ("1100000", "0001100", 0, 1, None),
        ("1010100", "0010101", 2, 1, 0.0),
        ("0000000", "0001100", 0, 0, None),
        ("1111111", "0101010", 3, 0, 0.0),
    ],
)
def test_events_and_alarms_meet(alert: str, label: str, found: int, false_alarms: int, delay_s: float | None) -> None:
    flags = [np.array([c == "1" for c in text]) for text in (alert, label)]
    score = score_events(np.arange(7) * 60_000, *flags)
    assert (score.found, score.false_alarms, score.median_delay_s) == (found, false_alarms, delay_s)
    assert score.alarms == len(runs(flags[0]))


def test_nothing_is_adjusted_to_points() -> None:
    alert, label = np.zeros(100, bool), np.zeros(100, bool)
    label[10:90] = True
    alert[50] = True
    assert auc_pr(alert.astype(float), label) < 0.85


def _slow_auc_pr(score: np.ndarray, label: np.ndarray) -> float:
    area, before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        predicted = score >= threshold
        recall = (predicted & label).sum() / label.sum()
        area += (recall - before) * (predicted & label).sum() / predicted.sum()
        before = recall
    return area


def _slow_range_auc_pr(score: np.ndarray, label: np.ndarray, length: int) -> float:
    """The definition, sample by sample, with every score as a threshold."""
    n = len(label)
    weight = label.astype(float)
    for begin, end in runs(label):
        for i in range(n):
            distance = begin - i if i < begin else i - (end - 1)
            if (i < begin or i >= end) and distance <= length // 2:
                weight[i] = min(1.0, weight[i] + (1 - distance / length) ** 0.5)
    area, before = 0.0, 0.0
    for threshold in sorted(score.tolist(), reverse=True):
        predicted = score >= threshold
        hits = sum(weight[i] for i in range(n) if predicted[i])
        met = np.mean([predicted[begin:end].any() for begin, end in runs(weight > 0)])
        recall = min(hits / ((label.sum() + weight.sum()) / 2), 1.0) * met
        area += (recall - before) * hits / predicted.sum()
        before = recall
    return area


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length", [0, 1, 5, 12])
@pytest.mark.parametrize("decimals", [1, 6])
def test_areas_equal_their_definitions(seed: int, length: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.zeros(200, bool)
    for begin in (20, 90, 97, 150):
        label[begin : begin + int(rng.integers(1, 6))] = True
    score = (rng.random(200) + 0.5 * label).round(decimals)
    assert auc_pr(score, label) == pytest.approx(_slow_auc_pr(score, label), abs=1e-12)
    assert range_auc_pr(score, label, length) == pytest.approx(_slow_range_auc_pr(score, label, length), abs=1e-12)


def test_the_volume_is_the_mean_of_the_areas_and_forgives_a_near_miss() -> None:
    label, near, far = np.zeros(100, bool), np.zeros(100), np.zeros(100)
    label[50:54] = True
    near[55:58] = 1
    far[80:83] = 1
    assert vus_pr(near, label, 6) == pytest.approx(np.mean([range_auc_pr(near, label, k) for k in range(7)]))
    assert vus_pr(near, label, 6) > vus_pr(far, label, 6)
    assert soften(label, 0).tolist() == label.tolist()
