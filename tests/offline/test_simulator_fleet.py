"""The fleet: repeatable, accepted by ingest, honest about its faults and its ceiling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from offline.simulator.bank import Bank
from offline.simulator.delivery import CORRUPTIONS, Records
from offline.simulator.fault import DATASETS, Fault, Schedule, random_faults, read_faults
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.topology import Topology
from offline.simulator.trace import Traces
from schemas.batch import Batch
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.field import LINK_TYPES
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.system import ANOMALY_TYPES
from schemas.topic import COMPRESSION_RAW, NETWORK_RAW, SYSTEM_RAW

SMALL = FleetPlan(seed=5, seconds=600, links=24, nodes=12, transfers=0.2)
TOPICS = {"network": NETWORK_RAW, "compression": COMPRESSION_RAW, "system": SYSTEM_RAW}
INGEST = {"network": NetworkIngest, "compression": CompressionIngest, "system": SystemIngest}
REAL = Path(__file__).parents[3] / "shared" / "data"


def sent(plan: FleetPlan, bank: Bank) -> tuple[Fleet, dict[str, Records]]:
    """A fleet that has sent everything, and its records by dataset."""
    fleet = Fleet(plan, bank)
    whole: dict[str, Records] = {}
    for minute in fleet.minutes():
        for part in minute:
            whole[part.dataset] = whole[part.dataset].join(part) if part.dataset in whole else part
    return fleet, whole


def ingested(dataset: str, records: Records) -> tuple[dict[str, Any], list[int]]:
    """Canonical columns of what ingest accepts, and how many rows it refuses by stage."""
    codec = codec_of(TOPICS[dataset].record)
    rows, undecoded = codec.decode(records.values)
    n = len(rows)
    batch = Batch(TOPICS[dataset], 0, codec.columns(rows), [None] * n, np.arange(n), [b"o"] * n)
    result = INGEST[dataset]().step(batch)
    (output,) = result.outputs.values()
    return dict(output.columns), [len(undecoded), len(result.rejected)]


@pytest.mark.parametrize("faults", [(), "random"])
def test_the_same_seed_gives_the_same_records(bank: Bank, faults: Any) -> None:
    plan = replace(SMALL, faults=faults)
    first, second = sent(plan, bank), sent(plan, bank)
    assert first[0].truth() == second[0].truth()
    assert first[0].ceiling() == second[0].ceiling()
    for dataset in DATASETS:
        assert first[1][dataset].values == second[1][dataset].values
        assert first[1][dataset].arrival_ms.tolist() == second[1][dataset].arrival_ms.tolist()


def test_another_seed_gives_other_records(bank: Bank) -> None:
    assert sent(SMALL, bank)[1]["network"].values != sent(replace(SMALL, seed=6), bank)[1]["network"].values


def test_a_longer_run_begins_as_a_shorter_one(bank: Bank) -> None:
    short, long = sent(replace(SMALL, seconds=150), bank)[1], sent(SMALL, bank)[1]
    for dataset in DATASETS:
        assert long[dataset].values[: len(short[dataset])] == short[dataset].values


@pytest.mark.parametrize("only", [("network",), ("system",), ("network", "system")])
def test_leaving_a_dataset_out_leaves_the_others_alone(bank: Bank, only: tuple[str, ...]) -> None:
    everything, some = sent(SMALL, bank)[1], sent(replace(SMALL, datasets=only), bank)[1]
    assert set(some) == set(only)
    for dataset in only:
        assert some[dataset].values == everything[dataset].values


def test_counts_follow_from_the_periods(bank: Bank) -> None:
    records = sent(SMALL, bank)[1]
    assert len(records["network"]) == 24 * 10
    assert len(records["system"]) == pytest.approx(12 * 120, abs=12)
    assert len(records["compression"]) == pytest.approx(0.2 * 24 * 600, rel=0.3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_ingest_accepts_every_record(bank: Bank, dataset: str) -> None:
    records = sent(SMALL, bank)[1][dataset]
    columns, refused = ingested(dataset, records)
    assert refused == [0, 0]
    assert columns["timestamp"].tolist() == records.event_ms.tolist()
    parts = [columns[name] for name in ("node_id", "peer_id") if name in columns]
    assert [k.decode() for k in records.keys if k] == [":".join(ids) for ids in zip(*parts, strict=True)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_ingest_refuses_every_corrupt_record_and_no_other(bank: Bank, dataset: str) -> None:
    faults = [Fault("delivery", "corrupt", dataset, rate=0.1), Fault("delivery", "duplicate", rate=0.02)]
    fleet, records = sent(replace(SMALL, faults=faults), bank)
    truth = Counter({t.type: t.count for t in fleet.truth() if t.kind == "corrupt"})
    assert set(truth) <= set(CORRUPTIONS)
    assert truth.total() > 10
    assert sum(ingested(dataset, records[dataset])[1]) == truth.total()
    assert all(t.entity == dataset for t in fleet.truth() if t.kind == "corrupt")


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_no_damage_goes_unseen(bank: Bank, dataset: str, kind: str) -> None:
    records = sent(replace(SMALL, seconds=60), bank)[1][dataset]
    rng = np.random.default_rng(1)
    damaged = replace(records, values=[CORRUPTIONS[kind](rng, v) for v in records.values])
    assert sum(ingested(dataset, damaged)[1]) == len(records)


def test_hosts_speak_different_dialects(bank: Bank) -> None:
    values = [msgspec.json.decode(v) for v in sent(SMALL, bank)[1]["network"].values]
    assert {type(v["timestamp"]) for v in values} == {str, int}
    assert {len(v) for v in values} == {22, 9}
    said = {v.get("link_type") for v in values}
    assert {"dc", "datacenter", 0, None} <= said
    assert {"Premium", 1} & {v.get("network_tier") for v in values}


def clock_lag_ms(records: Records) -> np.ndarray:
    """How far each record is behind the newest one of its key that arrived before it."""
    clock: dict[bytes | None, int] = {}
    lag = []
    for key, at in zip(records.keys, records.event_ms.tolist(), strict=True):
        lag.append(clock.get(key, at) - at)
        clock[key] = max(clock.get(key, at), at)
    return np.array(lag)


@pytest.mark.parametrize("dataset", DATASETS)
def test_late_records_are_late_and_no_others(bank: Bank, dataset: str) -> None:
    faults = [Fault("delivery", "late", rate=0.02), Fault("delivery", "out_of_order", rate=0.02)]
    fleet, records = sent(replace(SMALL, seconds=3600, transfers=0.05, faults=faults), bank)
    count = {t.type: t.count for t in fleet.truth() if t.entity == dataset}
    lag = clock_lag_ms(records[dataset])
    assert count["late"] == (lag > 600_000).sum() > 0
    assert count["out_of_order"] > 0
    assert ((lag > 0) & (lag <= 90_000)).sum() <= count["out_of_order"]
    assert not ((lag > 90_000) & (lag <= 600_000)).any()


def test_duplicates_are_the_same_bytes(bank: Bank) -> None:
    faults = [Fault("delivery", "duplicate", "network", rate=0.1)]
    fleet, records = sent(replace(SMALL, faults=faults), bank)
    repeated = Counter(records["network"].values)
    (truth,) = (t for t in fleet.truth() if t.kind == "duplicate")
    assert truth.count == sum(n - 1 for n in repeated.values()) > 0
    plain = sent(SMALL, bank)[1]
    assert set(repeated) == set(plain["network"].values)
    assert records["system"].values == plain["system"].values


def test_an_anomaly_is_where_and_when_the_truth_says(bank: Bank) -> None:
    fault = Fault("anomaly", "latency_spike", "node-003", 300, 420, 8)
    plain = ingested("system", sent(SMALL, bank)[1]["system"])[0]
    fleet, records = sent(replace(SMALL, faults=[fault]), bank)
    columns = ingested("system", records["system"])[0]
    (truth,) = (t for t in fleet.truth() if t.kind == "anomaly")
    changed = columns["latency_mean"] != plain["latency_mean"]
    inside = (columns["timestamp"] >= truth.start_ms) & (columns["timestamp"] < truth.end_ms)
    assert (truth.type, truth.entity) == ("latency_spike", "node-003")
    assert changed.tolist() == (inside & (columns["node_id"] == "node-003")).tolist()
    assert changed.sum() == 24


@pytest.mark.parametrize(
    ("fault", "column", "factor"),
    [
        (Fault("drift", "link_capacity", "dc", 300, magnitude=0.5), "throughput_mbps", 0.5),
        (Fault("anomaly", "latency_spike", "dc", 300, 600, 6), "rtt_ms", 3.0),
        (Fault("anomaly", "throughput_drop", "dc", 330, 590, 6), "throughput_mbps", 0.4),
    ],
)
def test_links_are_hit_from_then_on(bank: Bank, fault: Fault, column: str, factor: float) -> None:
    fleet, records = sent(replace(SMALL, faults=[fault]), bank)
    before, after = (ingested("network", r)[0] for r in (sent(SMALL, bank)[1]["network"], records["network"]))
    (truth,) = (t for t in fleet.truth() if t.type == fault.type)
    assert truth.start_ms == fleet.plan.start_ms + 300_000
    assert truth.end_ms == fleet.plan.end_ms
    hit = before["timestamp"] >= truth.start_ms
    type_of = dict(zip(fleet.topology.link_id, fleet.topology.link_type.tolist(), strict=True))
    links = zip(before["node_id"], before["peer_id"], strict=True)
    dc = np.array([type_of[f"{node}:{peer}"] == LINK_TYPES.index("dc") for node, peer in links])
    assert np.median((after[column] / before[column])[hit & dc]) == pytest.approx(factor, rel=0.05)
    assert (after[column] == before[column])[~hit | ~dc].all()


def test_a_costlier_encoder_changes_the_labels(bank: Bank) -> None:
    fault = Fault("drift", "hde_cost", "*", 0, magnitude=10)
    plan = replace(SMALL, seconds=1800, datasets=("compression",))
    before, after = (sent(p, bank)[0].ceiling()["selector"]["hde_share"] for p in (plan, replace(plan, faults=[fault])))
    assert after < before - 0.1


def test_contention_makes_labels_less_predictable(bank: Bank) -> None:
    fault = Fault("drift", "contention", "*", 0)
    plan = replace(SMALL, seconds=1800, datasets=("compression",))
    before, after = (sent(p, bank)[0].ceiling()["selector"]["accuracy"] for p in (plan, replace(plan, faults=[fault])))
    assert after < before - 0.05


def test_truth_covers_the_episodes_of_the_links(bank: Bank) -> None:
    plan = replace(SMALL, seconds=6 * 3600, links=60, transfers=0.0, datasets=("network",))
    fleet, _ = sent(plan, bank)
    episodes = [t for t in fleet.truth() if t.kind == "episode"]
    assert {t.type for t in episodes} >= {"congestion"}
    assert all(plan.start_ms <= t.start_ms < t.end_ms <= plan.end_ms for t in episodes)
    assert {t.entity for t in episodes} <= set(fleet.topology.link_id)


@pytest.mark.parametrize("seconds", [30, 600, 3600, 30 * 86_400])
def test_random_faults_fit_any_run(seconds: float) -> None:
    nodes, links = ["node-000", "node-001"], ["node-000:node-001"]
    faults = random_faults(np.random.default_rng(1), seconds, nodes, links)
    Schedule(faults, nodes, links, [0])
    assert {f.type for f in faults} >= {*ANOMALY_TYPES, "link_capacity", "hde_cost", "contention", "late", "corrupt"}
    assert min(f.start_s for f in faults if f.kind != "delivery") >= 0.2 * min(seconds, 3600)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (Fault("anomaly", "latency"), "latency_spike"),
        (Fault("drift", "latency_spike"), "link_capacity"),
        (Fault("anomaly", "error_burst", "node-999"), "node-000"),
        (Fault("anomaly", "error_burst", "wan"), "node-000"),
        (Fault("delivery", "late", "node-000"), "network"),
        (Fault("delivery", "late", rate=0.5), "0.2"),
        (Fault("anomaly", "error_burst", "*", 10, 10), "end_s"),
        (Fault("anomaly", "error_burst", magnitude=-1), "magnitude"),
    ],
)
def test_a_fault_that_cannot_be_is_named(bank: Bank, fault: Fault, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Fleet(replace(SMALL, faults=[fault]), bank)


@pytest.mark.parametrize("text", ["", "{}", '[{"kind":"anomaly"}]', '[{"kind":"drift","type":"x","extra":1}]'])
def test_a_file_that_is_no_schedule_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"faults\.json"):
        read_faults(path)


def test_a_schedule_is_read(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"kind":"anomaly","type":"error_burst","entity":"node-001","start_s":60,"end_s":90}]')
    assert read_faults(path) == [Fault("anomaly", "error_burst", "node-001", 60, 90)]


@pytest.mark.parametrize(("links", "nodes"), [(1, 1), (4, 1), (40, 40), (100, 7), (400, 80)])
def test_links_are_distinct_and_of_every_type(links: int, nodes: int) -> None:
    topology = Topology(np.random.default_rng(1), links, nodes)
    assert len(set(topology.link_id)) == links
    assert all(node != peer for node, peer in (name.split(":") for name in topology.link_id))
    if links >= 4:
        assert min(np.bincount(topology.link_type, minlength=len(LINK_TYPES))) >= links // 4 - 1


def test_keys_can_be_missing(bank: Bank) -> None:
    records = sent(replace(SMALL, keyless=0.5), bank)[1]
    for dataset in DATASETS:
        keyless = sum(k is None for k in records[dataset].keys)
        assert 0 < keyless < len(records[dataset])


def test_forecast_ceiling_beats_persistence(bank: Bank) -> None:
    plan = replace(SMALL, seconds=86_400, links=32, transfers=0.0, datasets=("network",))
    table = sent(plan, bank)[0].ceiling()["forecast"]
    assert table["scored"] == 32 * (1440 - 15)
    for type_ in LINK_TYPES:
        for target, row in table[type_].items():
            assert row["mae"] < row["mae_persistence"], (type_, target)
            assert row["r2"] > row["r2_persistence"], (type_, target)
            assert row["r2"] < 1


@pytest.mark.parametrize(("only", "unknown"), [(("system",), "forecast"), (("network",), "selector")])
def test_what_is_not_sent_has_no_ceiling(bank: Bank, only: tuple[str, ...], unknown: str) -> None:
    plan = replace(SMALL, seconds=1200, datasets=only)
    assert sent(plan, bank)[0].ceiling()[unknown] is None


def test_a_run_too_short_to_score_has_no_forecast_ceiling(bank: Bank) -> None:
    assert sent(SMALL, bank)[0].ceiling()["forecast"] is None


def test_selector_ceiling_is_above_what_is_known_without_a_model(bank: Bank) -> None:
    selector = sent(replace(SMALL, seconds=1800), bank)[0].ceiling()["selector"]
    assert selector["majority"] + 0.1 < selector["accuracy"] < 0.995
    assert selector["expected_accuracy"] == pytest.approx(selector["accuracy"], abs=0.03)


def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "speedtest-wizardtim"
    folder.mkdir()
    rows = ["datetimestart,datetimestop,provider,server,distance,ping,download,upload"]
    rows += [f"2020-01-01 {h:02d}:00:00,,,,,{10 + h},{100 - h},1" for h in range(24)]
    (folder / "speedtests.csv").write_text("\n".join([*rows, "2020-01-02 00:00:00,,,,,,bad,1"]))
    return tmp_path


def test_traces_drive_the_links_they_are_for(tmp_path: Path) -> None:
    link_type = np.arange(8) % 4
    driver = Traces(traces(tmp_path), np.random.default_rng(1), link_type, 2)
    overlay = driver.links(0)
    edge = link_type == LINK_TYPES.index("edge")
    assert (overlay.capacity[~edge] == 1).all()
    assert (overlay.capacity[edge] != 1).all()
    assert np.isnan(overlay.demand_logit).all()
    assert driver.host_cpu(0) is None
    assert (driver.links(600).rtt != overlay.rtt)[edge].all()


def test_a_driven_fleet_repeats_and_has_no_known_ceiling(bank: Bank, tmp_path: Path) -> None:
    plan = replace(SMALL, seconds=1800, traces=traces(tmp_path))
    first, second = sent(plan, bank), sent(plan, bank)
    assert first[1]["network"].values == second[1]["network"].values
    assert first[0].ceiling()["forecast"] is None


@pytest.mark.parametrize("content", [None, "no,such,columns\n1,2,3\n"])
def test_a_folder_without_series_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "speedtest-wizardtim").mkdir()
        (tmp_path / "speedtest-wizardtim" / "speedtests.csv").write_text(content)
    with pytest.raises(ConfigError, match="--traces"):
        Traces(tmp_path, np.random.default_rng(1), np.zeros(1, int), 1)


@pytest.mark.skipif(not REAL.exists(), reason="the real series are not here")
def test_real_series_drive_links_and_hosts(bank: Bank) -> None:
    fleet, records = sent(replace(SMALL, traces=REAL), bank)
    assert fleet._traces is not None
    assert set(fleet._traces.series) == {"edge_capacity", "edge_rtt", "wan_rtt", "demand", "host_cpu"}
    assert ingested("network", records["network"])[1] == [0, 0]
    assert ingested("system", records["system"])[1] == [0, 0]
