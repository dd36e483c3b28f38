"""Labels are of the future and of nothing else; what is written answers as what was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from offline.dataset.parquet import write_parquet
from offline.training.gate import require
from offline.training.performance_command import performance
from offline.training.performance_data import Rows, join_rows, make_labels, make_rows
from offline.training.performance_graph import performance_graph
from offline.training.performance_model import METHODS, Fitted, Platt
from offline.training.performance_node import read_nodes
from offline.training.performance_score import calibration_error, score_breach, score_latency
from offline.training.performance_train import STEPS, judge
from online_models.onnx_model import OnnxModel, open_session, run_session
from online_models.performance.input import INPUT_NAMES
from schemas.codec import codec_of
from schemas.error import GateFailed
from schemas.system import METRICS, SystemMetrics
from schemas.topic import SYSTEM_KEYED
from streams.recording.format import Recorded
from tests.online_models.stream import START_MS, metric_stream

OBJECTIVE = 130.0


def _node(n: int = 400, seed: int = 0) -> tuple[Any, Any]:
    records = metric_stream(n, 1, seed)
    values = np.array([[getattr(r, name) for name in METRICS] for r in records])
    return np.array([r.timestamp for r in records], np.int64), values


def _rows(seed: int = 0, n: int = 400) -> Rows:
    return make_rows(*_node(n, seed), OBJECTIVE)


def test_a_label_is_the_future() -> None:
    time_ms, values = _node()
    rows = make_rows(time_ms, values, OBJECTIVE)
    for k in range(0, len(rows), 17):
        at = int(np.searchsorted(time_ms, rows.time_ms[k]))
        assert rows.current[k] == values[at, 0]
        assert rows.future[k].tolist() == values[at + 1 : at + 6, 0].tolist()
        assert rows.breach[k] == (values[at + 1 : at + 6, 0] > OBJECTIVE).any()
        assert rows.end_ms[k] == time_ms[at + 5]


@pytest.mark.parametrize("cut", [100, 250])
def test_inputs_know_nothing_of_the_future(cut: int) -> None:
    time_ms, values = _node()
    shuffled = values.copy()
    shuffled[cut:] = np.random.default_rng(1).permutation(shuffled[cut:])
    known, other = (make_rows(time_ms, v, OBJECTIVE) for v in (values, shuffled))
    before = known.time_ms < time_ms[cut]
    assert (known.x[before] == other.x[before]).all()
    assert (known.scale[before] == other.scale[before]).all()
    assert (known.future[before] != other.future[before]).any()


def test_no_input_is_its_label() -> None:
    rows = _rows(n=1500)
    for k in range(len(INPUT_NAMES)):
        if np.ptp(rows.x[:, k]) > 0:
            assert abs(np.corrcoef(rows.x[:, k], rows.change[:, -1])[0, 1]) < 0.9


def test_a_label_across_a_gap_is_none() -> None:
    time_ms, values = _node(100)
    time_ms[60:] += 600_000
    rows = make_rows(time_ms, values, OBJECTIVE)
    lost = set(range(11, 95)) - set(np.searchsorted(time_ms, rows.time_ms).tolist())
    assert lost == set(range(55, 60))


def test_the_last_samples_have_no_label() -> None:
    time_ms, values = _node(100)
    labels = make_labels(time_ms, values[:, 0], OBJECTIVE, np.full(100, 5000))
    assert np.flatnonzero(~labels.known).tolist() == [95, 96, 97, 98, 99]


def test_sequences_end_with_the_present() -> None:
    time_ms, values = _node(120)
    rows = make_rows(time_ms, values, OBJECTIVE, sequence=True)
    current = list(INPUT_NAMES).index("latency_mean:current")
    assert rows.sequence.shape[1:] == (60, 16)
    assert rows.sequence[:, -1, 0] == pytest.approx(rows.x[:, current], rel=1e-5, abs=1e-5)
    assert not rows.sequence[0, : 60 - 12].any()


def test_rows_of_nodes_are_joined_in_order_of_time() -> None:
    joined = join_rows(make_rows(*_node(80, seed), OBJECTIVE, node=seed) for seed in (1, 2))
    assert (np.diff(joined.time_ms) >= 0).all()
    assert np.bincount(joined.node).tolist() == [0, len(joined) // 2, len(joined) // 2]


@pytest.fixture(scope="module")
def fitted() -> list[Fitted]:
    training, validation = _rows(1, 700), _rows(2)
    return [fit(training, validation, STEPS, 0) for fit in METHODS.values()]


@pytest.mark.parametrize("breach", range(len(METHODS)))
@pytest.mark.parametrize("change", range(len(METHODS)))
def test_the_graph_answers_as_the_method(fitted: list[Fitted], breach: int, change: int) -> None:
    rows = _rows(3)
    content = performance_graph(fitted[breach], fitted[change], len(INPUT_NAMES))
    found = run_session(open_session(content), rows.x)
    assert found["probability"].shape == (len(rows), 1)
    assert found["probability"][:, 0] == pytest.approx(fitted[breach].probability(rows), abs=1e-4)
    assert found["change"] == pytest.approx(fitted[change].change(rows), abs=1e-3)


@pytest.mark.parametrize("k", range(len(METHODS)))
def test_methods_beat_a_guess_on_an_autocorrelated_series(fitted: list[Fitted], k: int) -> None:
    rows = _rows(3, 1500)
    score = score_breach(fitted[k].probability(rows), rows.breach)
    assert score.pr_auc is not None
    assert score.pr_auc > score.base_rate + 0.05
    assert score.brier < 1.05 * score.brier_base


def test_trained_methods_beat_persistence_where_values_return_to_their_mean(fitted: list[Fitted]) -> None:
    rows = _rows(3, 1500)
    error = {one.name: np.abs(one.value(rows)[:, -1] - rows.future[:, -1]).mean() for one in fitted}
    assert max(error["linear"], error["boosting"]) < min(error["persistence"], error["moving_average"])


@pytest.mark.parametrize(
    ("score", "breach", "said"), [(np.arange(10.0), np.zeros(10, bool), 1 / 12), (np.ones(4), np.arange(4) < 2, 0.5)]
)
def test_calibration_without_both_classes_or_scores_is_the_base_rate(score: Any, breach: Any, said: float) -> None:
    assert Platt.fit(score, breach).probability(score) == pytest.approx(said)


def test_a_score_that_is_the_wrong_way_round_is_not_trusted() -> None:
    score = np.arange(100.0)
    assert Platt.fit(score, score < 30).slope == 0.0


def test_calibration_finds_the_odds() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(0, 3, 5000)
    breach = rng.random(5000) < 1 / (1 + np.exp(-(0.5 * score - 1)))
    platt = Platt.fit(score, breach)
    assert (platt.slope, platt.intercept) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1, abs=0.15))
    assert calibration_error(platt.probability(score), breach) < 0.03


def test_scores_of_one_class_have_no_area() -> None:
    score = score_breach(np.full(20, 0.1), np.zeros(20, bool))
    assert (score.pr_auc, score.roc_auc) == (None, None)
    assert score.brier == pytest.approx(0.01)


def test_relative_errors_leave_zeros_out() -> None:
    found = score_latency(np.array([1.0, 1.0, 104.0]), np.array([0.0, 2.0, 100.0]))
    assert found.mape == pytest.approx((0.5 + 0.04) / 2)
    assert found.within_5_percent == 0.5


def test_a_missed_gate_is_named() -> None:
    rng = np.random.default_rng(0)
    breach = rng.random(500) < 0.2
    noise = 0.1 * rng.random(500)
    good, bad = (score_breach(np.clip(0.2 + k * (breach - 0.2) + noise, 0, 1), breach) for k in (0.5, 0))
    latency = score_latency(np.ones(5), np.full(5, 2.0))
    errors = dict.fromkeys(("persistence", "moving_average", "linear"), latency)
    with pytest.raises(GateFailed, match="PR-AUC"):
        require(judge({"persistence": good, "linear": bad}, errors, "linear", "linear", 0.9, 1.0))


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("performance") / "system.parquet"
    records = metric_stream(steps=400, nodes=3)
    codec = codec_of(SystemMetrics)
    encoded = codec.encode(codec.columns(records))
    written = [
        Recorded(SYSTEM_KEYED.name, 0, k, r.timestamp, r.node_id.encode(), value, ())
        for k, (r, value) in enumerate(zip(records, encoded, strict=True))
    ]
    assert write_parquet(SYSTEM_KEYED, written, path).rows == 1200
    return path


def test_nodes_are_read_from_parquet(parquet: Path) -> None:
    nodes = read_nodes([parquet])
    assert [node.name for node in nodes] == ["n0", "n1", "n2"]
    assert nodes[1].values.shape == (400, len(METRICS))
    assert nodes[1].time_ms[0] == START_MS


def test_training_writes_an_artifact_that_a_worker_loads(parquet: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(parquet), "--out", str(tmp_path), "--objective-ms", "132", "--json"]
    result = CliRunner().invoke(performance, arguments)
    assert result.exception is None or isinstance(result.exception, GateFailed), result.output
    said = msgspec.json.decode(result.stdout)
    assert set(said["breach"]) == {*METHODS, "online"}
    assert said["chosen"]["breach"] in METHODS
    assert (result.exception is None) == all(gate["passed"] for gate in said["gates"])
    model = OnnxModel((tmp_path / "model.onnx").read_bytes(), INPUT_NAMES)
    found = model.predict(np.zeros((3, len(INPUT_NAMES)), np.float32))
    assert found["change"].shape == (3, 5)
    assert (tmp_path / "report.md").exists()


def test_the_recurrent_network_is_as_documented_and_learns() -> None:
    pytest.importorskip("torch")
    from offline.training.performance_lstm import DegradationNetwork, fit_lstm

    network = DegradationNetwork(16, 66, 5)
    assert (network.read.num_layers, network.read.hidden_size, network.read.bidirectional) == (3, 128, True)
    time_ms, values = _node(160)
    rows = make_rows(time_ms, values, OBJECTIVE, sequence=True)
    _, losses = fit_lstm(rows, rows, (5,), 0, 3, lambda line: None)
    assert losses[-1] < losses[0]
