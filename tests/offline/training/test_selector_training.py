"""Selectors from recordings: data gates, candidates, graphs, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from offline.simulator.bank import Bank
from offline.training.selector_candidate import Examples, fit_boosting, fit_logistic, fit_network, fit_temperature
from offline.training.selector_data import Transfers, read_transfers
from offline.training.selector_graph import INPUTS, OUTPUT, build, fit_scaling, transform
from offline.training.selector_train import choose, make_data, roc_auc
from online_models.onnx_model import OnnxModel, open_session, run_session
from online_models.selector.feature import feature_matrix
from online_models.selector.state import CompressionState
from schemas.compression import FEATURES
from schemas.error import ConfigError, FeatureMismatch, GateFailed
from schemas.topic import COMPRESSION_PREDICTION
from streams.cli import dwcp
from tests.online_models.stream import transfer_stream, transfers_of
from tests.replay import recording


@pytest.fixture(scope="module")
def transfers() -> Transfers:
    batch = transfers_of(transfer_stream(3000, links=12))
    batch.columns["quality_score"] = np.ones(3000)
    return Transfers(batch.columns, batch.key, np.zeros(3000, np.int64))


@pytest.fixture(scope="module")
def examples(transfers: Transfers):
    data = make_data(transfers, 1000)
    scaling = fit_scaling(data.x)
    z = transform(data.x, scaling)
    return data, scaling, Examples(z, data.truth.label, data.truth.margin, 0.2 + 0.8 * data.truth.margin)


@pytest.mark.parametrize("fit", [fit_logistic, fit_boosting, fit_network])
def test_the_graph_answers_as_the_trained_model_does(fit, examples, monkeypatch) -> None:
    if fit is fit_network:
        pytest.importorskip("torch")
    monkeypatch.setattr("offline.training.selector_candidate.TREES", 10)
    monkeypatch.setattr("offline.training.selector_candidate.EPOCHS", 12)
    monkeypatch.setattr("offline.training.selector_candidate.BATCH", 100)
    data, scaling, known = examples
    fitted = fit(known, known, 1, lambda _: None)
    content = build(scaling, fitted.body, 1.7)
    p = run_session(open_session(content), data.x)[OUTPUT]
    expected = 1.0 / (1.0 + np.exp(-fitted.logit(known.z) / 1.7))
    assert p.shape == (len(data.x),)
    np.testing.assert_allclose(p, expected, atol=1e-5)
    majority = max(known.label.mean(), 1 - known.label.mean())
    assert ((p > 0.5) == known.label).mean() > majority + 0.1


def test_inputs_are_scaled_and_a_missing_number_is_the_mean(examples) -> None:
    data, _, known = examples
    assert known.z.shape == (len(data.x), len(INPUTS))
    assert np.isfinite(known.z).all()
    entropy = INPUTS.index("entropy_estimate")
    missing = np.isnan(data.x[:, FEATURES.index("entropy_estimate")])
    assert missing.any()
    assert (known.z[missing, entropy] == 0.0).all()
    assert (known.z[missing, INPUTS.index("missing_entropy_estimate")] == 1.0).all()
    one_hot = [k for k, name in enumerate(INPUTS) if name.startswith(("link_type_", "payload_", "region_"))]
    assert (known.z[:, one_hot].sum(axis=1) == 3.0).all()
    assert abs(known.z[:, INPUTS.index("log1p_rtt_ms")].mean()) < 1e-3


def test_a_set_that_is_too_small_or_incomplete_names_its_gate(transfers: Transfers) -> None:
    failed = {gate.gate for gate in make_data(transfers, 5000).gates if not gate.passed}
    # One in seven has no entropy, none has a repetition score: `transfer_stream` leaves them out.
    assert failed >= {"rows", "missing entropy_estimate", "missing repetition_score"}
    assert "rows" not in {gate.gate for gate in make_data(transfers, 1000).gates if not gate.passed}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 20_000)
    label = (rng.random(20_000) < 1 / (1 + np.exp(-logit / temperature))).astype(np.int64)
    assert fit_temperature(logit, label) == pytest.approx(temperature, rel=0.1)


def test_area_under_the_curve() -> None:
    label = np.array([0, 0, 1, 1])
    assert roc_auc(np.array([0.1, 0.2, 0.8, 0.9]), label) == 1.0
    assert roc_auc(np.array([0.5, 0.5, 0.5, 0.5]), label) == 0.5
    assert roc_auc(np.array([0.9, 0.2, 0.8, 0.1]), label) == 0.25


def test_recordings_come_through_ingest() -> None:
    found = read_transfers([recording("fleet")])
    assert len(found) > 50
    assert set(found.columns) >= {*FEATURES, "quality_score"}
    assert np.isfinite(found.columns["quality_score"]).all()
    rows = np.concatenate([row for row, _ in found.batches()])
    assert sorted(rows.tolist()) == list(range(len(found)))
    with pytest.raises(ConfigError, match="compression"):
        read_transfers([recording("network")])


def test_the_command_trains_what_a_worker_can_load(tmp_path: Path, bank: Bank, bank_path: Path) -> None:
    runner = CliRunner()
    simulated = ["simulate", "--links", "16", "--seconds", "1200", "--transfers", "0.5", "--only", "compression"]
    file, fleet, out = tmp_path / "fleet.jsonl", tmp_path / "fleet.json", tmp_path / "out"
    made = runner.invoke(dwcp, [*simulated, "--seed", "5", "--bank", str(bank_path), "--out", str(file), "--json"])
    fleet.write_text(made.stdout)
    command = ["train", "selector", "--data", str(file), "--out", str(out), "--candidate", "logistic", "--json"]
    refused = runner.invoke(dwcp, command)
    assert isinstance(refused.exception, GateFailed)
    assert refused.exception.gate == "rows"
    assert not out.exists()
    result = runner.invoke(dwcp, [*command, "--least-rows", "1000", "--fleet", str(fleet), "--bank", str(bank_path)])
    assert result.stdout, result.exception
    summary = json.loads(result.stdout)
    assert isinstance(result.exception, GateFailed) != summary["passed"]
    baselines = {one["name"]: one for one in summary["baselines"]}
    assert baselines["ceiling"]["regret"] <= summary["candidates"][0]["regret"] < baselines["majority"]["regret"]
    assert {path.name for path in out.iterdir()} >= {"model.onnx", "model_metadata.json", "report.md", "regret.png"}
    content = (out / "model.onnx").read_bytes()
    model = OnnxModel(content, FEATURES)
    assert model.manifest.settings["small_data"]
    with pytest.raises(FeatureMismatch):
        OnnxModel(content, FEATURES[::-1])
    batch = transfers_of(transfer_stream(50))
    served = CompressionState(champion=model).step(batch).outputs[COMPRESSION_PREDICTION].columns
    p = model.predict(feature_matrix(batch.columns))[OUTPUT]
    sure = np.maximum(p, 1 - p) > 0.6
    assert sure.any()
    np.testing.assert_array_equal(served["model_name"] == "selector", sure)


def test_a_slow_candidate_is_not_chosen() -> None:
    fields = ("single_p99_ms", "batch_us", "validation_regret")
    judged = msgspec.defstruct("Judged", [(name, float) for name in fields])
    slow, fast = judged(0.1, 7.0, 0.01), judged(0.1, 0.6, 0.02)
    assert choose([slow, fast]) is fast
    assert choose([slow]) is slow
