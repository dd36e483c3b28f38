"""Fleets of scenarios: they are told things, they follow rollouts, and what they change is a true change."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pytest

from offline.optimizer.grid import load_grids
from offline.simulator.bank import Bank
from offline.simulator.ceiling import SelectorCeiling
from offline.simulator.delivery import Records
from offline.simulator.fault import Fault
from offline.simulator.fleet import START_MS, Fleet, FleetPlan
from offline.simulator.growth import DAY_MS, FULL, PERIOD_MS, GrowingFleet
from offline.simulator.host import INDEX
from offline.simulator.player import play
from offline.simulator.transfer import IMAGES, SIZE_MIB, Transfers
from offline.simulator.tuned import BROKEN, MESSAGES, TunedFleet
from online_models.optimizer.prior import COST
from online_models.optimizer.space import DEFAULT
from schemas.error import ConfigError
from schemas.optimizer import OptimizerRollout, ParameterChange

NODES = 20


class Kept:
    """A sink that keeps when it got what."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, bytes]] = []

    def send(self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes], at: Sequence[int]) -> None:
        assert len(keys) == len(values) == len(at)
        self.rows += [(topic, value) for value in values]

    def close(self) -> None:
        """Nothing to wait for."""


def minutes(n: int) -> Iterator[list[Records]]:
    for k in range(n):
        at = START_MS + 60_000 * k + 1000 * np.arange(60)
        yield [Records.untouched("system", "t", [b"a"] * 60, [b"%d" % (60 * k + i) for i in range(60)], at)]


def said(capsys: pytest.CaptureFixture[str], event: str) -> list[dict]:
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == event]


def test_minutes_are_sent_in_order(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    sink = Kept()
    end = play(minutes(3), sink, 1200.0, START_MS, lambda told: None, lambda: False)
    assert [int(value) for _, value in sink.rows] == list(range(180))
    assert said(capsys, "clock")[-1] == {"event": "clock", "time_ms": end, "sent": 180}
    assert end >= START_MS + 179_000


def test_what_is_held_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read, told = iter(['{"do": "hold"}\n']), []

    class Slow:
        def __iter__(self) -> Iterator[str]:
            yield from read
            time.sleep(0.5)
            yield '{"do": "go"}\n'
            yield '{"do": "drift", "magnitude": 2.0}\n'
            time.sleep(0.2)
            yield '{"do": "stop"}\n'

    monkeypatch.setattr(sys, "stdin", Slow())
    sink = Kept()
    end = play(minutes(100), sink, 60.0, START_MS, told.append, lambda: False)
    assert [one["do"] for one in told] == ["hold", "go", "drift", "stop"]
    assert len(sink.rows) <= (end - START_MS) / 1000 + 1 < 40  # .2 s at 60 s/s, and not the .5 s before


def wins(bank: Bank, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
    """Whether HDE is best on each transfer of ten minutes, and whether it is one of which the codec makes more work."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    ceiling = SelectorCeiling(np.random.default_rng(1), bank)

    def watch(t: Transfers, _: int) -> None:
        share = ceiling.probability(t, np.arange(len(t)))
        dearer = (t.payload_type < IMAGES) == (t.conditions.size_mib > SIZE_MIB[t.payload_type])
        found.append((share > 0.5, dearer))

    plan = FleetPlan(seed=5, seconds=600, links=16, nodes=4, transfers=0.5, datasets=("compression",), faults=faults)
    for _ in Fleet(plan, bank, watch=watch).minutes():
        pass
    best, dearer = zip(*found, strict=True)
    return np.concatenate(best), np.concatenate(dearer)


def test_another_codec_changes_what_is_best_and_nothing_else(bank: Bank) -> None:
    before, dearer = wins(bank, [])
    after, same = wins(bank, [Fault("drift", "hde_codec", magnitude=4.0)])
    assert (dearer == same).all()
    assert after[dearer].mean() < before[dearer].mean() - 0.1
    assert after[~dearer].mean() > before[~dearer].mean() + 0.05


def test_a_fault_can_be_added_while_the_fleet_runs(bank: Bank) -> None:
    fleet = Fleet(FleetPlan(seconds=600, links=4, nodes=2, datasets=("compression",)), bank)
    steps = fleet.minutes()
    next(steps)
    fleet.schedule.add(Fault("drift", "hde_codec", start_s=60.0))
    assert not fleet.schedule.active("drift", 0)
    assert fleet.schedule.active("drift", 1)
    with pytest.raises(ConfigError, match="types of drift"):
        fleet.schedule.add(Fault("drift", "no such"))


def test_some_disks_fill_up_when_it_is_said_and_others_do_not() -> None:
    fleet = GrowingFleet(1, nodes=4, growing=2, days=3, topic="t")
    assert set(fleet.exhausted()) == set(fleet.names[:2])
    for node, at_ms in fleet.exhausted().items():
        days = (at_ms - START_MS) / DAY_MS
        start = fleet._hosts.level[fleet._disk][fleet.names.index(node)]
        assert start + days * fleet.per_day[fleet.names.index(node)] == pytest.approx(FULL, abs=0.01)
    periods = [records for (records,) in fleet.periods()]
    assert len(periods) == 3 * DAY_MS // PERIOD_MS
    assert {len(records) for records in periods} == {4}
    disk = np.array([[msgspec.json.decode(v)["disk_usage"] for v in r.values] for r in periods])
    nodes = np.array([[msgspec.json.decode(v)["node_id"] for v in r.values] for r in periods])
    for k, name in enumerate(fleet.names):
        own = disk[nodes == name]
        grown = own[-288:].mean() - own[:288].mean()
        assert (grown > 1.0) == (k < 2)


def rollout(status: str, stage: int, after: float = 6.0) -> OptimizerRollout:
    change = ParameterChange("hde_compression_level", "none", 5.0, after, 1.0, 9.0)
    return OptimizerRollout(
        "x",
        START_MS,
        "fleet/0/1",
        "r",
        "fleet/0",
        status,
        stage,
        START_MS,
        [change],
        0,
        0,
        None,
        None,
        None,
        None,
        1e-3,
        "",
    )


@pytest.fixture(scope="module")
def grids() -> dict:
    return load_grids()


def test_rollouts_are_followed_node_by_node(grids: dict) -> None:
    fleet = TunedFleet(1, NODES, 1, "t", grids)
    steps = [("running", 5, 1), ("advanced", 5, 5), ("advanced", 25, 10), ("advanced", 50, 20), ("completed", 100, 20)]
    before = np.zeros(NODES, bool)
    for status, stage, many in steps:
        treated = fleet.follow(rollout(status, stage))
        assert treated.sum() == many
        assert (treated | ~before).all()  # a later stage keeps the nodes of the one before it
        assert (fleet.values[treated, 0] == 6.0).all()
        assert (fleet.values[~treated, 0] == DEFAULT[0]).all()
        before = treated
    fleet.follow(rollout("running", 5, after=9.0))
    fleet.follow(rollout("rolled_back", 5, after=9.0))
    assert (fleet.values[:, 0] == 6.0).all()


def test_a_broken_build_is_slower_where_it_is(grids: dict) -> None:
    fleet = TunedFleet(1, NODES, 1, "t", grids)
    usual = fleet._obey(fleet._hosts.step(START_MS))
    fleet.breaks = True
    treated = fleet.follow(rollout("running", 25, after=5.0))
    slow = fleet._obey(fleet._hosts.step(START_MS))
    latency, rate = (slow[:, k].mean(axis=0) / usual[:, k].mean(axis=0) for k in (0, 2))
    assert latency[treated].mean() == pytest.approx(BROKEN, rel=0.1)
    assert latency[~treated].mean() == pytest.approx(1.0, rel=0.1)
    assert rate[treated].mean() == pytest.approx(1 / BROKEN, rel=0.1)
    assert not fleet.broken[~treated].any()
    assert not fleet.follow(rollout("rolled_back", 25)).any()
    assert not fleet.broken.any()


def test_messages_of_consensus_are_traffic(grids: dict) -> None:
    fleet = TunedFleet(1, NODES, 1, "t", grids)
    usual = fleet._obey(fleet._hosts.step(START_MS))
    fleet.values[:5, 7:] = 1.0, 15.0  # a batch of one request, agreed on by fifteen
    dear = fleet._obey(fleet._hosts.step(START_MS))
    sent = (dear / usual)[:, INDEX["network_io"]].mean(axis=0)
    messages = np.exp(fleet._logs()[0, 2, COST] - fleet._start[0, 2, COST])
    assert messages > 3.0
    assert sent[:5].mean() == pytest.approx(1.0 + MESSAGES * (messages - 1.0), rel=0.1)
    assert sent[5:].mean() == pytest.approx(1.0, rel=0.1)


def test_requests_and_consensus_are_as_the_context_was_measured(grids: dict) -> None:
    """The optimizer tells contexts apart by both."""
    fleet = TunedFleet(1, NODES, 1, "t", grids)
    metrics, acp, context = fleet.metrics(START_MS), grids["acp"], int(fleet._context["acp"][0])
    asked = np.exp(acp.context[context, acp.features.index("log_requests_per_s")])
    assert metrics["request_rate"].mean() == pytest.approx(asked, rel=0.1)
    decided = np.exp(acp.at(np.array([context]), acp.default[None])[0, 0])
    assert metrics["consensus_time"].mean() == pytest.approx(1000.0 / decided, rel=0.1)


def test_a_slower_build_comes_with_the_next_rollout_only(grids: dict) -> None:
    fleet = TunedFleet(1, NODES, 1, "t", grids)
    fleet.follow(rollout("running", 5))
    fleet.breaks = True
    fleet.follow(rollout("completed", 100))
    assert not fleet.broken.any()
    assert fleet.follow(rollout("running", 5, after=9.0)).sum() == fleet.broken.sum() == 1
