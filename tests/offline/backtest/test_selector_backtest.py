"""Every way to decide, on the same transfers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.selector import backtest_selector, learn_table, split, stream
from offline.backtest.selector_score import Truth, calibration_error, calibration_noise, quality
from offline.training.selector_data import Transfers
from online_models.selector.state import CompressionState
from schemas.error import ConfigError
from streams.cli import dwcp
from tests.online_models.stream import transfer_stream, transfers_of


@pytest.fixture(scope="module")
def transfers() -> Transfers:
    batch = transfers_of(transfer_stream(4000, links=12))
    return Transfers(batch.columns, batch.key, np.arange(4000) % 1)


def test_learners_beat_what_does_not_learn(transfers: Transfers) -> None:
    found = backtest_selector(transfers, None, 0.25)
    by_name = {one.name: one for one in found.deciders}
    assert found.scored == 1000
    assert by_name["online"].regret < 0.6 * by_name["heuristic"].regret
    assert by_name["bandit"].regret < by_name["heuristic"].regret
    assert by_name["linear"].accuracy > by_name["majority"].accuracy + 0.1
    assert len(found.table) == 20
    for one in found.deciders:
        weights = [kind.n for kind in one.link_types.values()]
        mean = np.average([kind.regret for kind in one.link_types.values()], weights=weights)
        assert mean == pytest.approx(one.regret)


def test_what_is_published_is_what_the_worker_decides(transfers: Transfers) -> None:
    whole = CompressionState().step(transfers.take(np.arange(4000))).outputs
    published = next(iter(output for topic, output in whole.items() if topic.kind == "compression.prediction"))
    answers = stream(transfers, CompressionState)
    np.testing.assert_array_equal(answers.probability, published.columns["probability_amst"])
    np.testing.assert_array_equal(answers.choice == 1, published.columns["algorithm"] == "AMST")


def test_the_table_is_learned_on_what_lies_before(transfers: Transfers) -> None:
    scored = split(transfers.columns, 0.25)
    before, _ = learn_table(transfers.columns, scored)
    turned = Truth(scored.truth.label.copy(), scored.truth.margin, scored.truth.link_type)
    turned.label[scored.test] = 1 - turned.label[scored.test]
    np.testing.assert_array_equal(learn_table(transfers.columns, scored._replace(truth=turned))[0], before)


def test_telemetry_without_outcomes_cannot_be_scored(transfers: Transfers) -> None:
    bare = {n: np.full(4000, np.nan) if n.startswith("outcome_") else c for n, c in transfers.columns.items()}
    with pytest.raises(ConfigError, match="outcomes"):
        split(bare, 0.2)


def test_figures_of_known_decisions() -> None:
    truth = Truth(np.array([0, 0, 1, 1]), np.array([0.5, 0.1, 0.2, 0.4]), np.array(["dc", "dc", "wan", "wan"]))
    found = quality("one", np.array([0, 1, 1, 0]), truth)
    assert found.accuracy == 0.5
    assert found.regret == pytest.approx((0.1 + 0.4) / 4)
    assert found.link_types["wan"].regret == pytest.approx(0.2)
    assert found.classes["HDE"].precision == 0.5
    assert found.log_loss is None


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_calibration_error_exceeds_chance_only_where_it_should(scale: float) -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 8000)
    label = (rng.random(8000) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    said = 1 / (1 + np.exp(-scale * logit))
    assert (calibration_error(said, label) > 3 * calibration_noise(said)) == (scale > 1.0)


def test_the_command_knows_the_ceiling_of_a_simulated_fleet(tmp_path: Path, bank_path: Path) -> None:
    runner = CliRunner()
    file, fleet = tmp_path / "fleet.jsonl", tmp_path / "fleet.json"
    common = ["--links", "16", "--seconds", "600", "--transfers", "0.3", "--only", "compression", "--json"]
    made = runner.invoke(dwcp, ["simulate", "--seed", "6", "--bank", str(bank_path), "--out", str(file), *common])
    fleet.write_text(made.stdout)
    command = ["backtest", "selector", "--recording", str(file), "--json", "--quiet", "--bank", str(bank_path)]
    report = json.loads(runner.invoke(dwcp, [*command, "--fleet", str(fleet)]).stdout)
    best = report["ceiling"]
    assert all(best["regret"] <= one["regret"] for one in report["backtest"]["deciders"])
    assert best["ece"] < 4 * best["ece_noise"]
    other = json.loads(made.stdout) | {"seed": 7}
    fleet.write_text(json.dumps(other))
    refused = runner.invoke(dwcp, [*command, "--fleet", str(fleet)])
    assert isinstance(refused.exception, ConfigError)
    assert refused.exception.variable == "--fleet"
    assert json.loads(runner.invoke(dwcp, command).stdout)["ceiling"] is None
