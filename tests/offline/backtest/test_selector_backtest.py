"""Every way to decide, on the same transfers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.selector import Backtest, backtest_selector, goals, learn_table, split, stream
from offline.backtest.selector_score import (
    LinkQuality,
    Quality,
    Truth,
    calibration_error,
    calibration_noise,
    quality,
)
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


def test_what_a_bandit_would_do_without_exploring(transfers: Transfers) -> None:
    found = stream(transfers, partial(CompressionState, feedback="chosen"))
    explored = found.choice != found.greedy
    assert 0 < explored.mean() < 0.2
    np.testing.assert_array_equal(*(stream(transfers, CompressionState)[k] for k in (0, 1)))


@pytest.mark.parametrize(
    ("regret", "p95", "static", "reached", "missed"),
    [
        (0.01, 0.04, 0.05, 0.95, set()),
        (0.021, 0.051, 0.05, 0.95, {"mean regret", "regret p95"}),
        (0.01, 0.04, 0.0, 0.99, {"regret over the best static choice's, worst link type", "accuracy of the ceiling's"}),
    ],
)
def test_goals_are_missed_by_what_misses_them(
    regret: float, p95: float, static: float, reached: float, missed: set[str]
) -> None:
    def one(name: str, accuracy: float, by_type: float) -> Quality:
        types = {"dc": LinkQuality(9, accuracy, 0.0), "wan": LinkQuality(9, accuracy, by_type)}
        return Quality(name, accuracy, regret, p95, None, None, None, {}, types)

    deciders = [one("published", 0.94, 0.011), one("best by link type", 0.8, static)]
    found = goals(Backtest(9, 0, 9, 0, 0.15, 0.0, deciders, []), one("ceiling", reached, 0.0))
    assert {goal.gate for goal in found if not goal.passed} == missed
    assert len(goals(Backtest(9, 0, 9, 0, 0.15, 0.0, deciders, []), None)) == 3


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
    assert len(report["goals"]) == 4
    assert report["ceiling_of_accuracy"]["accuracy"] > best["accuracy"] - 0.01, "of few hundred rows some are chance"
    assert report["ceiling_of_accuracy"]["regret"] > best["regret"] - 0.005
    other = json.loads(made.stdout) | {"seed": 7}
    fleet.write_text(json.dumps(other))
    refused = runner.invoke(dwcp, [*command, "--fleet", str(fleet)])
    assert isinstance(refused.exception, ConfigError)
    assert refused.exception.variable == "--fleet"
    assert json.loads(runner.invoke(dwcp, command).stdout)["ceiling"] is None


def test_on_a_fleet_the_online_model_comes_near_the_ceiling(tmp_path: Path, bank_path: Path) -> None:
    runner = CliRunner()
    file, fleet = tmp_path / "fleet.jsonl", tmp_path / "fleet.json"
    common = ["--links", "6", "--seconds", "1800", "--transfers", "0.6", "--only", "compression", "--json", "--quiet"]
    made = runner.invoke(dwcp, ["simulate", "--seed", "31", "--bank", str(bank_path), "--out", str(file), *common])
    fleet.write_text(made.stdout)
    command = ["backtest", "selector", "--recording", str(file), "--fleet", str(fleet), "--bank", str(bank_path)]
    report = json.loads(runner.invoke(dwcp, [*command, "--json", "--quiet", "--test-fraction", "0.3"]).stdout)
    regret = {one["name"]: one["regret"] for one in report["backtest"]["deciders"]}
    # The payloads' times are measured anew in every run, and with them the figures move.
    assert regret["online"] < 0.85 * regret["linear"]
    assert regret["online"] < 0.6 * regret["heuristic"]
    assert regret["online"] < report["ceiling"]["regret"] + 0.02
