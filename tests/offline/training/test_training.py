"""What every training shares: splits by time, gates, artifacts, reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.training.artifact import fingerprint, library_versions, reference_edges, write_artifact
from offline.training.gate import gate, require
from offline.training.report import Report, make_figure
from offline.training.split import split_by_time
from schemas.error import ConfigError, GateFailed, ModelRejected
from tests.online_models.test_onnx_model import GOLDEN, linear, manifest

MINUTE = 60_000


@given(st.integers(50, 400), st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_follow_each_other_a_gap_apart(n: int, gap: int, random) -> None:
    time = np.arange(n, dtype=np.int64) * MINUTE
    order = np.array(random.sample(range(n), n))
    training, validation, test = split_by_time(time[order], gap_ms=gap * MINUTE)
    assert not (training & validation).any()
    assert not (validation & test).any()
    shuffled = time[order]
    assert shuffled[validation].min() - shuffled[training].max() > gap * MINUTE
    assert shuffled[test].min() - shuffled[validation].max() > gap * MINUTE
    assert test.sum() == pytest.approx(0.15 * n, abs=1)


@pytest.mark.parametrize("n", [0, 2, 5])
def test_too_little_to_split_is_said(n: int) -> None:
    with pytest.raises(ConfigError, match="--data"):
        split_by_time(np.arange(n, dtype=np.int64), gap_ms=10)


@pytest.mark.parametrize(
    ("value", "comparison", "limit", "passed"),
    [
        (0.95, "at_least", 0.95, True),
        (0.95, "above", 0.95, False),
        (1.0, "below", 1.0, False),
        (1.0, "at_most", 1.0, True),
        (float("nan"), "at_most", 1.0, False),
        (float("nan"), "at_least", 1.0, False),
    ],
)
def test_gates(value: float, comparison, limit: float, passed: bool) -> None:
    assert gate("one", value, comparison, limit).passed is passed


def test_the_first_gate_that_fails_is_named() -> None:
    gates = [gate("good", 2, "above", 1), gate("accuracy", 0.9, "at_least", 0.95), gate("size", 9, "below", 1)]
    with pytest.raises(GateFailed, match=r"'accuracy' failed: reached 0\.9, required 0\.95"):
        require(gates)
    require(gates[:1])


def test_an_artifact_is_written_whole_with_metadata_beside_it(tmp_path: Path) -> None:
    model = write_artifact(tmp_path / "new", linear([2.0, 3.0], "Identity"), manifest(), GOLDEN, {"window_size": 10})
    said = json.loads((tmp_path / "new" / "model_metadata.json").read_text())
    assert said["artifact_sha256"] == model.sha256
    assert said["artifact_bytes"] == (tmp_path / "new" / "model.onnx").stat().st_size
    assert said["window_size"] == 10
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.onnx", "model_metadata.json"]


def test_a_model_that_no_worker_would_load_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected):
        write_artifact(tmp_path, linear([1.0, 1.0], "Log"), manifest(), -np.ones((1, 2), np.float32))
    assert not list(tmp_path.iterdir())


def test_fingerprints_tell_data_apart() -> None:
    x = np.arange(4.0)
    assert fingerprint(x) == fingerprint(x.copy())
    assert (
        len({fingerprint(x), fingerprint(x.reshape(2, 2)), fingerprint(x.astype(np.float32)), fingerprint(x + 1)}) == 4
    )


def test_reference_edges_leave_missing_values_out() -> None:
    x = np.column_stack([np.arange(101.0), np.full(101, np.nan)])
    x[0, 0] = np.nan
    edges = reference_edges(x, ["known", "missing"])
    assert list(edges) == ["known"]
    assert edges["known"] == pytest.approx(np.quantile(np.arange(1.0, 101.0), np.arange(0.1, 0.95, 0.1)))


def test_versions_of_what_is_installed() -> None:
    assert list(library_versions("numpy", "no-such-package")) == ["numpy"]


def test_a_report_has_its_figures_beside_it(tmp_path: Path) -> None:
    report = Report("Selector")
    report.heading("Gates")
    report.gates([gate("accuracy", 0.9, "at_least", 0.95)])
    figure = make_figure()
    figure.axes[0].plot([1, 2, 3])
    report.figure("curve", figure, "learning curve")
    text = report.write(tmp_path).read_text()
    assert "| accuracy | 0.9 | >= 0.95 | **no** |" in text
    assert "![learning curve](curve.png)" in text
    assert (tmp_path / "curve.png").stat().st_size > 1000
