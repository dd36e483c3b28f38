"""Links watched: what is an alert, of which type, for how long; maintenance, feedback, and hours that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from online_models.anomaly.link_baseline import LINK_METRICS, LINK_WARM_UP
from online_models.anomaly.link_record import LINK_TYPES
from online_models.anomaly.link_watch import LinkWatch
from online_models.anomaly.state import SystemState
from schemas.batch import Control, Result
from schemas.binary import Binary
from schemas.feedback import AnomalyFeedback, about_link, type_of
from schemas.network import NetworkSample
from schemas.system import Anomaly
from schemas.topic import SYSTEM_ANOMALY, SYSTEM_FEEDBACK, SYSTEM_THRESHOLD
from streams.envelope import Envelope
from tests.online_models.stream import (
    MINUTE_MS,
    START_MS,
    disturb,
    encoded,
    network_stream,
    run_cut,
    sample,
    samples_of,
)

SICK = 200
"""Sample at which the link falls ill."""

CHANGES: dict[str, dict[str, float]] = {
    "latency_spike": {"rtt_ms": 4.0},
    "throughput_drop": {"throughput_mbps": 0.3},
    "error_burst": {"packet_loss": 30.0, "retransmits": 30.0},
    "unknown": {"queue_depth": 40.0},
}
"""What befalls a link, as factors."""


def story(change: dict[str, float], minutes: int = 300, begin: int = SICK, end: int = SICK + 6) -> list[NetworkSample]:
    """A link that has `factor` times its metrics for some minutes."""
    rng = np.random.default_rng(5)
    records = []
    for k in range(minutes):
        fields = {
            "rtt_ms": 20.0,
            "throughput_mbps": 500.0,
            "packet_loss": 1e-3,
            "retransmits": 40.0,
            "queue_depth": 9.0,
        }
        for name in fields:
            fields[name] *= float(np.exp(0.05 * rng.normal())) * (change.get(name, 1.0) if begin <= k < end else 1.0)
        counts = {name: int(fields.pop(name)) for name in ("retransmits", "queue_depth")}
        rtt, rate = fields.pop("rtt_ms"), fields.pop("throughput_mbps")
        records.append(sample(START_MS + MINUTE_MS * k, rate, rtt, **fields, **counts))
    return records


def told(records: Sequence[NetworkSample], state: LinkWatch | None = None) -> list[Anomaly]:
    """Alerts as they are published."""
    batch = samples_of(records)
    result = (LinkWatch() if state is None else state).step(batch)
    if SYSTEM_ANOMALY not in result.outputs:
        return []
    made = Envelope(SYSTEM_ANOMALY, "test").encode(
        result.outputs[SYSTEM_ANOMALY], Binary.of(batch.origin), Binary.of(batch.key)
    )
    keys, values = made.keys, made.values
    assert set(keys) == {b"a:b"}
    return [msgspec.json.decode(value, type=Anomaly) for value in values]


def word(feedback: AnomalyFeedback, number: int = 0, partition: int = 0) -> Control:
    body = msgspec.json.encode(feedback)
    return Control(SYSTEM_FEEDBACK.kind, body, b"feedback/0/%d" % number, partition, START_MS)


@pytest.mark.parametrize("kind", LINK_TYPES)
def test_what_befalls_a_link_is_found_and_typed(kind: str) -> None:
    said = told(story(CHANGES[kind]))
    assert [one.anomaly_type for one in said] == [kind] * len(said)
    assert [said[0].status, said[-1].status] == ["open", "resolved"]
    assert (said[0].node_id, said[0].peer_id) == ("a", "b")
    assert said[0].timestamp == START_MS + SICK * MINUTE_MS
    assert said[0].anomaly_score > 0.5
    assert said[0].severity == "critical"
    assert set(said[0].metrics) == set(said[0].baseline_comparison) == set(LINK_METRICS)
    assert said[0].top_contributing_features[0] in CHANGES[kind]
    assert said[0].recommended_actions
    assert not said[-1].recommended_actions
    assert {one.alert_id for one in said} == {f"a:b/{said[0].timestamp}:{kind}"}


def test_a_baseline_stands_beside_the_sample() -> None:
    found = told(story(CHANGES["latency_spike"]))[0].baseline_comparison["rtt_ms"]
    assert found.baseline_mean == pytest.approx(20.0, rel=0.05)
    assert found.baseline_mean < found.baseline_p95 < 25.0
    assert found.deviation_pct == pytest.approx(300.0, rel=0.2)
    assert found.z_score > 9.0


@pytest.mark.parametrize("change", [{"rtt_ms": 0.3}, {"throughput_mbps": 3.0}, {"packet_loss": 0.1}, {}])
def test_what_does_not_hurt_is_no_anomaly(change: dict[str, float]) -> None:
    assert not told(story(change))


def test_a_new_link_is_not_judged() -> None:
    assert not told(story(CHANGES["latency_spike"], begin=LINK_WARM_UP - 6, end=LINK_WARM_UP))


def test_round_trips_of_a_second_are_critical() -> None:
    records = [msgspec.structs.replace(one, rtt_ms=50 * one.rtt_ms) for one in story({"rtt_ms": 1.4})]
    assert told(records)[0].severity == "critical"
    assert told(story({"rtt_ms": 1.4}))[0].severity != "critical"


def test_an_alert_lasts_until_five_quiet_minutes() -> None:
    said = told(story(CHANGES["throughput_drop"], end=SICK + 12))
    assert [one.status for one in said] == ["open", "update", "update", "resolved"]
    assert said[-1].occurrences == 12
    assert said[-1].last_seen_at == START_MS + (SICK + 11) * MINUTE_MS
    assert said[-1].timestamp == START_MS + (SICK + 16) * MINUTE_MS


@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut(seed: int) -> None:
    batch = samples_of(disturb(network_stream(minutes=400, links=5) + story(CHANGES["latency_spike"])))
    expected = encoded([(0, LinkWatch(false_alarms_per_link_day=50.0).step(batch))])
    assert expected
    assert run_cut(LinkWatch(false_alarms_per_link_day=50.0), batch, seed) == expected


def test_a_restored_state_goes_on_bit_for_bit() -> None:
    batch = samples_of(disturb(network_stream(minutes=300, links=5)))
    fed, copy = LinkWatch(), LinkWatch()
    fed.step(batch.take(0, 800))
    for piece in fed.capture(whole=True):
        copy.load(piece)
    assert copy.digest() == fed.digest()
    rest = batch.take(800, len(batch))
    assert encoded([(0, copy.step(rest))]) == encoded([(0, fed.step(rest))])
    assert copy.digest() == fed.digest()


def test_repeats_and_late_samples_change_nothing() -> None:
    records = story({})
    fed = LinkWatch()
    fed.step(samples_of(records))
    before = fed.digest()
    result = fed.step(samples_of([*records[-3:], *records[:5]]))
    assert (fed.digest(), result.rejected) == (before, ())


@pytest.mark.parametrize(("node", "hushed"), [("a", True), ("b", True), ("*", True), ("c", False)])
def test_maintenance_of_either_end_hushes(node: str, hushed: bool) -> None:
    state = LinkWatch()
    begin, end = START_MS + (SICK - 1) * MINUTE_MS, START_MS + (SICK + 20) * MINUTE_MS
    window = AnomalyFeedback(True, node_id=node, timestamp=begin, maintenance_until=end)
    assert state.control(word(window)).outputs == {}
    assert bool(told(story(CHANGES["latency_spike"]), state)) != hushed
    assert (state.gauges()["link_anomaly_suppressed"][0] == 6) == hushed
    again = LinkWatch()
    again.control(word(window))
    again.control(word(msgspec.structs.replace(window, undo=True), 1))
    assert told(story(CHANGES["latency_spike"]), again)


def anomaly_id(number: int, kind: str = "latency_spike") -> str:
    return f"dwcp.network.raw.v1/0/{number}:system.anomaly.link.{kind}"


def test_ids_say_that_it_is_a_link_and_which_type() -> None:
    one = told(story(CHANGES["error_burst"]))
    words = [AnomalyFeedback(True, said.id) for said in one]
    assert all(about_link(said) and type_of(said) == "error_burst" for said in words)
    assert not about_link(AnomalyFeedback(True, "link.raw/0/1:system.anomaly.latency_spike"))
    assert len({said.id for said in one}) == len(one)


def _changed(result: Result) -> Any:
    return result.outputs[SYSTEM_THRESHOLD].columns


def test_words_on_links_move_links_and_not_nodes() -> None:
    links, nodes = LinkWatch(), SystemState()
    before = nodes.digest()
    said = word(AnomalyFeedback(True, anomaly_id(1)))
    change = _changed(links.control(said))
    assert (change["before"], change["after"]) == ([1.0], [pytest.approx(1.1)])
    assert change["reason"] == ["links: false positive"]
    assert nodes.control(said).outputs == {}
    assert nodes.digest() == before
    before = links.digest()
    assert links.control(word(AnomalyFeedback(True, "raw/0/1:system.anomaly.latency_spike"))).outputs == {}
    assert links.digest() == before


def test_an_operator_silences_a_type_and_the_others_still_speak() -> None:
    mild = {"rtt_ms": 1.5}
    assert told(story(mild))
    state = LinkWatch()
    for k in range(20):
        state.control(word(AnomalyFeedback(True, anomaly_id(k)), k))
    assert not told(story(mild), state)
    state = LinkWatch()
    for k in range(20):
        state.control(word(AnomalyFeedback(True, anomaly_id(k)), k, partition=3))
    assert told(story(CHANGES["throughput_drop"]), state)


def test_what_comes_at_the_same_hour_every_day_is_no_anomaly_for_long() -> None:
    days, night = 8, 130
    records = []
    for day in range(days):
        one = story({"throughput_mbps": 0.5}, 1440, night, night + 20)
        records += [msgspec.structs.replace(r, timestamp=r.timestamp + day * 1440 * MINUTE_MS) for r in one]
    last = records[-1440 + 700 : -1440 + 706]
    sick = [msgspec.structs.replace(r, throughput_mbps=0.3 * r.throughput_mbps) for r in last]
    records[-1440 + 700 : -1440 + 706] = sick
    opened = [(one.timestamp - START_MS) // MINUTE_MS for one in told(records) if one.status == "open"]
    assert opened[:2] == [night, 1440 + night]
    assert opened[-1] == 1440 * (days - 1) + 700
    assert len(opened) <= 6


def test_what_happened_once_does_not_hide_what_comes_at_that_hour_the_next_day() -> None:
    records = []
    for day in range(2):
        one = story({"throughput_mbps": 0.4}, 1440, 700, 704)
        records += [msgspec.structs.replace(r, timestamp=r.timestamp + day * 1440 * MINUTE_MS) for r in one]
    opened = [(one.timestamp - START_MS) // MINUTE_MS for one in told(records) if one.status == "open"]
    assert opened == [700, 1440 + 700]


def wavy(fall: float, begin: int = 400, end: int = 403) -> list[NetworkSample]:
    """A link whose throughput wanders by half within the hour, and falls by a factor for some minutes."""
    wander = 0.5 * np.sin(np.arange(600) / 9.0)
    one = story({"throughput_mbps": fall}, 600, begin, end)
    return [
        msgspec.structs.replace(r, throughput_mbps=r.throughput_mbps * float(np.exp(w)))
        for r, w in zip(one, wander, strict=True)
    ]


@pytest.mark.parametrize("begin", [400, 410, 420, 430, 440])
def test_a_sudden_fall_shows_beside_a_wide_course(begin: int) -> None:
    found = told(wavy(0.45, begin, begin + 3))
    assert found
    assert (found[0].status, found[0].anomaly_type) == ("open", "throughput_drop")
    assert begin <= (found[0].timestamp - START_MS) // MINUTE_MS < begin + 3


def test_a_wide_course_alone_is_no_anomaly() -> None:
    assert not told(wavy(1.0))


@pytest.mark.parametrize("metric", ["rtt_ms", "throughput_mbps"])
def test_a_return_to_the_usual_is_no_anomaly(metric: str) -> None:
    better = {"rtt_ms": 0.4, "throughput_mbps": 2.5}[metric]
    assert not told(story({metric: better}, end=SICK + 4))


def test_the_threshold_follows_the_budget() -> None:
    batch = samples_of(network_stream(minutes=2000, links=8))
    few, many = LinkWatch(false_alarms_per_link_day=0.05), LinkWatch(false_alarms_per_link_day=20.0)
    for state in (few, many):
        state.step(batch)
    (low, _), (high, _) = (state.gauges()["link_anomaly_threshold"] for state in (many, few))
    assert low < high
    assert many.gauges()["link_anomaly_announced"][0] > few.gauges()["link_anomaly_announced"][0]


def test_bytes_of_a_link_are_as_said() -> None:
    assert LinkWatch().row_bytes == 648
