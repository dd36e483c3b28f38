"""`dwcp train anomaly`: the graph says what scikit-learn says, and the artifact is one a worker can load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from offline.training import anomaly_forest
from offline.training.anomaly_command import anomaly
from offline.training.anomaly_data import FORMS, Form, NodeRows, feature_names, node_rows, read_rows
from offline.training.anomaly_forest import (
    CONTAMINATION,
    FORESTS,
    Forests,
    fit_forests,
    score_rows,
    thresholds_of,
)
from offline.training.anomaly_graph import export_forests, mean_path
from online_models.anomaly.baseline import N_METRICS, WARM_UP
from online_models.anomaly.state import SystemState
from online_models.onnx_model import OnnxModel, open_session, run_session
from schemas.codec import codec_of
from schemas.error import ConfigError, GateFailed
from schemas.system import METRICS, SystemMetrics
from schemas.topic import SYSTEM_ANOMALY, SYSTEM_KEYED
from streams.recording.format import Recorded, encode
from tests.online_models.stream import metric_stream, metrics, metrics_of


def rows(form: Form = "deviations", steps: int = 300) -> NodeRows:
    columns = codec_of(SystemMetrics).columns(metric_stream(steps, 4, seed=5))
    x = np.column_stack([columns[name] for name in METRICS])
    return node_rows(columns["timestamp"], columns["node_id"], x, form)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Forests of fewer trees: what is tested does not depend on how many there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomaly_forest, "TREES", 40)
        patch.setattr(anomaly_forest, "GROUP_TREES", 15)
        yield


@pytest.fixture(scope="module")
def fitted() -> tuple[Forests, np.ndarray]:
    found = rows()
    return fit_forests(found.x[:600], seed=3), found.x


def test_the_graph_scores_as_scikit_learn_does(fitted: tuple[Forests, np.ndarray]) -> None:
    forests, x = fitted
    far = np.concatenate([x, 8 * x, np.zeros((1, N_METRICS), np.float32)])
    expected = score_rows(forests, far)
    thresholds = thresholds_of(expected)
    answers = run_session(open_session(export_forests(forests, thresholds)), far)
    assert answers["score"] == pytest.approx(expected, abs=1e-5)
    assert answers["ratio"] == pytest.approx((expected / thresholds).max(axis=1), abs=1e-5)
    assert expected.shape == (len(far), len(FORESTS))


def test_the_graph_has_one_tree_ensemble_for_all_forests(fitted: tuple[Forests, np.ndarray]) -> None:
    graph = onnx.load_from_string(export_forests(fitted[0], np.ones(len(FORESTS)))).graph
    (ensemble,) = (node for node in graph.node if node.domain == "ai.onnx.ml")
    trees = next(a for a in ensemble.attribute if a.name == "nodes_treeids").ints
    assert len(set(trees)) == anomaly_forest.TREES + anomaly_forest.GROUP_TREES * (len(FORESTS) - 1)


@pytest.mark.parametrize(("n", "expected"), [(0, 0.0), (1, 0.0), (2, 1.0), (256, 10.244770920119)])
def test_mean_path_is_that_of_the_paper(n: int, expected: float) -> None:
    assert float(mean_path(n)) == pytest.approx(expected)


def test_thresholds_are_exceeded_by_the_contaminated_share() -> None:
    scores = np.random.default_rng(1).random((10_000, len(FORESTS)))
    assert (scores > thresholds_of(scores)).mean(axis=0) == pytest.approx(CONTAMINATION, abs=1e-3)


def test_deviations_are_those_that_a_worker_publishes() -> None:
    records = metric_stream(200, 1, seed=5)
    records.append(metrics(records[-1].timestamp + 5000, latency_mean=400.0))
    columns = codec_of(SystemMetrics).columns(records)
    found = node_rows(
        columns["timestamp"], columns["node_id"], np.column_stack([columns[n] for n in METRICS]), "deviations"
    )
    published = SystemState().step(metrics_of(records)).outputs[SYSTEM_ANOMALY].columns
    at = list(published["timestamp"]).index(records[-1].timestamp)
    expected = [published["baseline_comparison"][at][name].z_score for name in METRICS]
    assert found.z[-1] == pytest.approx(np.clip(expected, -10, 10), rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_repeats_and_warm_up_are_left_out(form: Form) -> None:
    records = metric_stream(100, 2, seed=5)
    columns = codec_of(SystemMetrics).columns(records + records[-2:])
    x = np.column_stack([columns[name] for name in METRICS])
    found = node_rows(columns["timestamp"], columns["node_id"], x, form)
    assert len(found.x) == 2 * (100 - WARM_UP)
    assert len(feature_names(form)) == N_METRICS
    if form == "metrics":
        assert found.x[-1] == pytest.approx(x[-3])


def _record(path: Path, steps: int) -> Path:
    lines = [
        Recorded(SYSTEM_KEYED.name, 0, k, r.timestamp, r.node_id.encode(), msgspec.json.encode(r, enc_hook=float), ())
        for k, r in enumerate(metric_stream(steps, 4, seed=5))
    ]
    path.write_bytes(encode(lines))
    return path


def run(*args: object) -> str:
    result = CliRunner().invoke(anomaly, list(map(str, args)), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_training_writes_what_a_worker_can_load(tmp_path: Path) -> None:
    path = _record(tmp_path / "a.jsonl", 500)
    truth = tmp_path / "truth"
    sick = read_rows([path], "metrics")
    fault = {"kind": "anomaly", "type": "error_burst", "entity": "n1"}
    fault |= {"start_ms": int(sick.time_ms[-200]), "end_ms": int(sick.time_ms[-100])}
    truth.write_text(json.dumps(fault))
    found = json.loads(run("--data", path, "--truth", truth, "--out", tmp_path / "out", "--json"))
    assert all(gate["passed"] for gate in found["gates"])
    assert found["injected"]["auc"] > 0.8
    assert found["faults"]["sick"] == 25
    model = OnnxModel((tmp_path / "out" / "model.onnx").read_bytes(), feature_names("deviations"))
    assert model.manifest.gates
    assert model.manifest.training_rows == found["training_rows"]
    assert set(model.predict(rows().x[:10])) == {"score", "ratio"}
    report = (tmp_path / "out" / "report.md").read_text()
    for part in ("injected_auc", "known faults", "score.png", "largest deviation"):
        assert part in report
    assert (tmp_path / "out" / "score.png").stat().st_size > 1000


def test_the_same_seed_gives_the_same_forests() -> None:
    x = rows().x
    one, two, other = (score_rows(fit_forests(x[:500], seed), x[500:600]) for seed in (1, 1, 2))
    assert (one == two).all()
    assert not (one == other).all()


def test_a_missed_gate_is_an_error_and_the_artifact_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.training.anomaly_train.SHIFT", 0.0)
    with pytest.raises(GateFailed, match="injected_auc"):
        run("--data", _record(tmp_path / "a.jsonl", 300), "--out", tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize("steps", [1, WARM_UP])
def test_too_few_records_are_said(tmp_path: Path, steps: int) -> None:
    with pytest.raises(ConfigError, match="which their baselines take"):
        run("--data", _record(tmp_path / "a.jsonl", steps), "--out", tmp_path / "out")


def test_data_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="does not exist"):
        run("--data", tmp_path / "none", "--out", tmp_path / "out")
