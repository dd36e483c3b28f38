"""The demo's scenarios as users run them: each comes out, says so, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas.error import ConfigError
from streams.cli import dwcp
from tests.kafka import Kafka

ROOT = Path(__file__).parent.parent.parent
PNG = b"\x89PNG"


def played(name: str, tmp_path: Path, *options: str) -> dict[str, Any]:
    plot = tmp_path / f"{name}.png"
    run = subprocess.run(
        [sys.executable, "-m", "streams.cli", "demo", "--scenario", name, "--json", "--plot", str(plot), *options],
        capture_output=True, text=True, cwd=ROOT, timeout=420,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    summary: dict[str, Any] = json.loads(run.stdout)
    assert summary["lost"] == 0
    assert summary["events_in"] > 1000
    assert plot.read_bytes().startswith(PNG)
    said = [one["what"] for one in summary["timeline"]]
    assert all(what in run.stderr for what in said)
    return summary


@pytest.mark.fault
@pytest.mark.kafka
def test_models_follow_a_changed_regime(tmp_path: Path, kafka: Kafka) -> None:
    summary = played("drift", tmp_path, "--bootstrap", kafka.address)
    assert min(summary[name] for name in ("drift_alerts", "retrainings", "rollbacks")) >= 1
    assert summary["promotions"] >= 2
    before, during, after = (summary["accuracy"][name] for name in ("before", "during", "after"))
    assert during["accuracy"] < min(before["accuracy"], after["accuracy"]) - 0.03
    for period in (before, after):
        assert max(period["majority"], period["heuristic"]) < period["accuracy"] < period["ceiling"]
    order = [one["what"] for one in summary["timeline"]]
    assert order.index("promotion") < order.index("drift") < order.index("drift alert") < order.index("retraining")


@pytest.mark.fault
def test_poisoned_versions_do_no_harm(tmp_path: Path) -> None:
    summary = played("poison", tmp_path)
    reasons = {kind: one["reason"] for kind, one in summary["refused"].items()}
    assert reasons == {
        "nan": "golden", "features": "features", "tampered": "hash", "slow": "slow", "wild_live": "answer",
        "slow_live": "slow", "nan_live": "answer",
    }  # fmt: skip
    worse, silent = summary["rolled_back"]["worse"], summary["rolled_back"]["nan_live"]
    assert (silent["decisions"], summary["impossible"]) == (0, 0)
    assert silent["fell_back"] > 0
    assert "answer" in silent["reason"]
    assert worse["accuracy"] < 0.3
    assert "accuracy" in worse["reason"]
    for period in ("with_silent", "after"):
        assert summary["accuracy"][period]["accuracy"] > summary["accuracy"]["with_worse"]["accuracy"] + 0.2


@pytest.mark.fault
def test_a_disk_that_fills_up_is_told_weeks_before(tmp_path: Path) -> None:
    summary = played("growth", tmp_path, "--speed", "86400", "--nodes", "3")
    assert len(summary["alerts"]) == 1
    assert all(one["urgency"] == "URGENT" and one["days_ahead"] >= 14 for one in summary["alerts"].values())
    assert summary["false_alerts"] == 0
    assert summary["rollups"]["day"] >= 3 * 40
    assert summary["rollups"]["hour"] >= 20 * summary["rollups"]["day"]


@pytest.mark.fault
def test_what_is_recommended_is_better_and_what_is_worse_is_taken_back(tmp_path: Path) -> None:
    summary = played("tuning", tmp_path, "--speed", "240")
    assert summary["improvement_pct"]["latency"]["upper"] < 0 < summary["improvement_pct"]["throughput"]["lower"]
    assert summary["completed"] >= 1
    assert summary["rollbacks"] >= 1
    assert summary["bad"]["latency"]["mean"] > 10
    assert summary["completed_level"]["latency_ms"] < summary["baseline"]["latency_ms"]


@pytest.mark.parametrize(
    "options", [["--plot", "x.png"], ["--bootstrap", "127.0.0.1:1"], ["--scenario", "no such"]]
)  # fmt: skip
def test_what_makes_no_sense_is_refused(options: list[str]) -> None:
    assert CliRunner().invoke(dwcp, ["demo", *options]).exit_code == 2


def test_a_plot_that_cannot_be_drawn_is_said_at_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(dwcp, ["demo", "--scenario", "drift", "--plot", str(tmp_path / "no" / "x.png")])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.variable == "--plot"
