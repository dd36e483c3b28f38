"""`dwcp backtest anomaly --recording`: the worker's detector against faults that are known."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from offline.backtest.anomaly_command import anomaly
from offline.backtest.fault import three_sigma, watch_all
from offline.backtest.fault_score import Fault, Known, Said, read_truth, scatter, score_faults
from offline.backtest.fault_subject import LINKS
from offline.node_metric import read_partitions
from offline.simulator.bank import Bank
from offline.simulator.feed import record
from offline.simulator.fleet import Fleet, FleetPlan
from online_models.sample import network_batch, system_batch
from schemas.batch import Batch
from schemas.error import ConfigError
from streams.recording.sink import Recording
from tests.online_models.anomaly.test_trained import forest


@pytest.fixture(scope="module")
def recorded(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two hours of 12 nodes with every type of fault, and the truth."""
    folder = tmp_path_factory.mktemp("faults")
    plan = FleetPlan(seed=7, seconds=7200, links=12, nodes=12, transfers=0, datasets=("system",), faults="random")
    fleet = Fleet(plan, bank, {})
    sink = Recording(folder / "a.jsonl.zst")
    record(fleet, sink, lambda: False, lambda *_: None)
    sink.close()
    (folder / "a.truth").write_text("\n".join(json.dumps(_line(one)) for one in fleet.truth()))
    return folder / "a.jsonl.zst", folder / "a.truth"


def _line(truth: object) -> dict[str, object]:
    return {name: getattr(truth, name) for name in ("kind", "type", "entity", "start_ms", "end_ms")}


def run(*args: object) -> str:
    result = CliRunner().invoke(anomaly, list(map(str, args)), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_faults_are_found_and_typed_beside_a_rule_and_chance(recorded: tuple[Path, Path]) -> None:
    recording, truth = recorded
    report = json.loads(run("--recording", recording, "--truth", truth, "--json"))
    found, rule, chance = (report[name] for name in ("detector", "three_sigma", "random"))
    assert found["injected"] == len(read_truth(truth).faults) == sum(one["injected"] for one in found["types"].values())
    assert found["found"] >= 0.9 * found["injected"]
    assert found["typed"] >= 0.9 * found["injected"]
    assert found["false_alarms_per_day"] < 0.2 * rule["false_alarms_per_day"]
    assert chance["found"] < 0.5 * found["found"]
    assert found["days"] == pytest.approx(1.0, rel=0.02)
    assert found["median_delay_s"] < 60
    assert sum(found["false_alarms_by_type"].values()) == found["false_alarms"]


@pytest.fixture(scope="module")
def links(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eight hours of 12 links with both types of fault, and the truth."""
    folder = tmp_path_factory.mktemp("links")
    plan = FleetPlan(seed=7, seconds=8 * 3600, links=12, nodes=6, transfers=0, datasets=("network",), faults="random")
    fleet = Fleet(plan, bank, {})
    sink = Recording(folder / "a.jsonl.zst")
    record(fleet, sink, lambda: False, lambda *_: None)
    sink.close()
    (folder / "a.truth").write_text("\n".join(json.dumps(_line(one)) for one in fleet.truth()))
    return folder / "a.jsonl.zst", folder / "a.truth"


def test_faults_of_links_are_found_and_typed(links: tuple[Path, Path]) -> None:
    report = json.loads(run("--links", "--recording", links[0], "--truth", links[1], "--json"))
    found, rule, chance = (report[name] for name in ("detector", "three_sigma", "random"))
    assert (report["of"], report["budget_false_alarms_per_day"]) == ("link", 0.2)
    assert found["injected"] == len(read_truth(links[1], LINKS).faults)
    for kind in ("latency_spike", "throughput_drop"):
        assert found["types"][kind]["typed"] >= 0.8 * found["types"][kind]["injected"]
    assert found["false_alarms_per_day"] < 0.2 * rule["false_alarms_per_day"]
    assert chance["found"] < 0.5 * found["found"]
    assert found["days"] == pytest.approx(4.0, rel=0.02)


def test_a_person_gets_a_table_of_links(links: tuple[Path, Path]) -> None:
    shown = run("--links", "--recording", links[0], "--truth", links[1])
    for part in ("throughput_drop", "link days", "by itself", "budget 0.2"):
        assert part in shown
    assert "consensus_delay" not in shown


@pytest.mark.parametrize("entity", ["a:b", "wan", "*"])
def test_alarms_of_a_link_in_trouble_are_explained(entity: str) -> None:
    batch = network_batch(range(0, 60_000_000, 60_000))
    trouble = Fault("episode", "congestion", entity, 400_000, 500_000)
    said = [Said("a:b", 450_000, "throughput_drop", True), Said("a:b", 600_000, "throughput_drop", True)]
    score = score_faults(Known([], [trouble]), said, [batch], LINKS)
    assert (score.alarms, score.explained, score.false_alarms) == (2, 1, 1)


def test_a_person_gets_a_table(recorded: tuple[Path, Path]) -> None:
    shown = run("--recording", recorded[0], "--truth", recorded[1], "--alarms-per-day", 0.1)
    for part in ("resource_exhaustion", "in range", "3 deviations", "random", "budget 0.1"):
        assert part in shown


def test_trained_forests_are_asked_besides(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    recording, truth = recorded
    (tmp_path / "model.onnx").write_bytes(forest())
    report = json.loads(run("--recording", recording, "--truth", truth, "--forest", tmp_path / "model.onnx", "--json"))
    assert report["detector"]["typed"] >= 0.95 * report["detector"]["injected"]


@pytest.mark.parametrize(
    ("content", "args", "expected"),
    [
        (None, (), "model.onnx of `dwcp train anomaly --input deviations`"),
        (b"no model", (), "onnxruntime cannot load it"),
        (b"no model", ("--links",), "--forest goes with --recording of nodes"),
    ],
)
def test_forests_that_cannot_be_asked_are_refused(
    recorded: tuple[Path, Path], tmp_path: Path, content: bytes | None, args: tuple[str, ...], expected: str
) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ConfigError, click.UsageError), match=expected):
        run("--recording", recorded[0], "--truth", recorded[1], "--forest", path, *args)


def test_a_smaller_budget_means_fewer_false_alarms(recorded: tuple[Path, Path]) -> None:
    batches, faults = read_partitions(recorded[0]), read_truth(recorded[1])
    few, many = (score_faults(faults, watch_all(batches, budget).said, batches) for budget in (0.001, 300.0))
    assert few.false_alarms < many.false_alarms


@pytest.mark.parametrize("args", [(), ("--csv", "a", "--recording", "b"), ("--recording", "b"), ("--truth", "b")])
def test_one_kind_of_input_has_to_be_named(args: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match="--recording FILE with --truth FILE"):
        run(*args)


@pytest.mark.parametrize(
    "text", ["", "not json", '{"kind": "drift", "type": "x", "entity": "n", "start_ms": 0, "end_ms": 1}']
)
def test_a_truth_without_faults_of_nodes_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t"
    path.write_text(text)
    with pytest.raises(ConfigError, match="--truth"):
        read_truth(path)


BATCH = system_batch(range(0, 1_000_000, 5000))
FAULT = Fault("anomaly", "latency_spike", "a", 400_000, 500_000)


def _score(said: list[Said], faults: tuple[Fault, ...] = (FAULT,), batch: Batch = BATCH):
    return score_faults(Known(list(faults), []), said, [batch])


@pytest.mark.parametrize(
    ("at", "node", "kind", "expected"),
    [
        (399_999, "a", "latency_spike", (0, 0, 1)),
        (400_000, "a", "latency_spike", (1, 1, 0)),
        (450_000, "a", "error_burst", (1, 0, 0)),
        (560_000, "a", "latency_spike", (1, 1, 0)),
        (560_001, "a", "latency_spike", (0, 0, 1)),
        (450_000, "b", "latency_spike", (0, 0, 1)),
    ],
)
def test_what_counts_as_found(at: int, node: str, kind: str, expected: tuple[int, int, int]) -> None:
    score = _score([Said(node, at, kind, True)])
    assert (score.found, score.typed, score.false_alarms) == expected


def test_what_goes_on_may_find_but_is_no_further_alarm() -> None:
    score = _score([Said("a", 100_000, "unknown", True), Said("a", 401_000, "latency_spike", False)])
    assert (score.found, score.typed, score.alarms, score.false_alarms) == (1, 1, 1, 1)
    assert score.median_delay_s == 1.0


@pytest.mark.parametrize(("shift", "hidden"), [(0.0, 1), (-20.0, 1), (0.1, 0)])
def test_faults_within_the_usual_range_are_counted(shift: float, hidden: int) -> None:
    columns = dict(BATCH.columns)
    during = (columns["timestamp"] >= FAULT.start_ms) & (columns["timestamp"] < FAULT.end_ms)
    columns["latency_mean"] = columns["latency_mean"] + shift * during
    batch = Batch(BATCH.topic, 0, columns, BATCH.key, BATCH.offset, BATCH.origin)
    assert _score([], batch=batch).within_usual == hidden


def test_chance_says_as_much_at_random() -> None:
    said = [Said("a", 1000 * k, "unknown", True) for k in range(50)]
    drawn = scatter(said, [BATCH], seed=1)
    assert [one.type for one in drawn] == ["unknown"] * 50
    assert len({one.time_ms for one in drawn}) > 20
    assert {one.time_ms for one in drawn} <= set(BATCH.columns["timestamp"].tolist())


def test_the_rule_of_three_deviations() -> None:
    columns = dict(BATCH.columns)
    rng = np.random.default_rng(1)
    columns["latency_mean"] = columns["latency_mean"] + np.clip(rng.normal(size=len(BATCH)), -2, 2)
    columns["latency_mean"][150:152] += 50.0
    batch = Batch(BATCH.topic, 0, columns, BATCH.key, BATCH.offset, BATCH.origin)
    assert three_sigma([batch]) == [
        Said("a", 750_000, "latency_spike", True),
        Said("a", 755_000, "latency_spike", False),
    ]
