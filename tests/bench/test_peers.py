"""Beside plain Faust in one run, this project is at least half as far ahead as the committed results say.

Measured in processor time per event: on a busy machine events per second depend on who else is at work.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.bench.peers.job import Link, Links
from tests.bench.peers.result import README, newest, table, told
from tests.bench.peers.river_job import RiverLink
from tests.bench.peers.run import run
from tests.kafka import require_kafka

RESULTS = Path(__file__).parent / "peers" / "results.csv"


def committed(processor: str) -> float:
    with RESULTS.open() as file:
        return [float(row["cpu_ratio"]) for row in csv.DictReader(file) if row["processor"] == processor][-1]


@pytest.mark.parametrize("link", [Link, RiverLink])
def test_the_job_gives_means_changes_and_a_score(link: type[Link] | type[RiverLink]) -> None:
    links = Links(link)
    samples = [
        {"timestamp": t, "node_id": "a", "peer_id": "b", "throughput_mbps": 100.0 + t % 2, "rtt_ms": 1.0 * t,
         "packet_loss": 0.0, "jitter_ms": 5.0}
        for t in range(12)
    ]  # fmt: skip
    features = [links.answer(sample)["features"] for sample in samples]
    assert features[0] == [100.0, 0.0, 0.0, 5.0] * 3 + [0.0] * 4
    assert features[11][:2] == pytest.approx([(101 + 100 + 101) / 3, 10.0])
    assert features[11][12:15] == [1.0, 1.0, 0.0]
    assert features[9][15] == 0.0, "too few to tell"
    assert features[10][15] == pytest.approx((10 - 4.5) / (55 / 6) ** 0.5)


def test_the_readme_tells_the_newest_results() -> None:
    assert told(README.read_text()) == table(newest())


@pytest.mark.kafka
def test_the_lead_over_plain_faust_is_not_halved() -> None:
    require_kafka()
    found = run(["dwcp-streams", "faust"], records=40_000, links=500, seed=1, say=print)["peers"]
    assert [one["lost"] for one in found.values()] == [0, 0]
    assert found["faust"]["differing"] == 0
    assert found["faust"]["cpu_ratio"] > committed("faust") / 2, found
