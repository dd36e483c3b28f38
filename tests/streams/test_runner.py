"""The guarded loop, on a real codec, a real state and a real tracker; only the producer is a list."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
import numpy as np
import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from schemas import header
from schemas.batch import Batch, Output, Rejection, Result
from schemas.error import LateRecord, ValidationError
from schemas.topic import DEAD_LETTER, LATE, NETWORK_RAW, SYSTEM_KEYED, SYSTEM_RAW, SYSTEM_SCORE, Topic
from streams.agent import Agent, agents_by_name, declare
from streams.chunk import Chunk, by_partition, packs
from streams.message import Messages
from streams.metric import Metrics
from streams.offset import OffsetTracker
from streams.partition import murmur2_partition
from streams.publisher import Publish
from streams.runner import Runner
from streams.settings import Settings
from streams.stepper import Stepper
from streams.store import StateStore
from streams.wire import Wire


class Counting:
    """Scores every system record by how many of its partition came before; late below 10, bad at 13."""

    def __init__(self) -> None:
        self.seen = 0

    def step(self, batch: Batch) -> Result:
        """Number the records."""
        times = batch.columns["timestamp"]
        rejected = [Rejection(int(r), LateRecord("late", "too old")) for r in np.flatnonzero(times < 10)]
        rejected += [Rejection(int(r), ValidationError("range", "thirteen")) for r in np.flatnonzero(times == 13)]
        rows = np.flatnonzero((times >= 10) & (times != 13))
        score = self.seen + np.arange(len(rows))
        self.seen += len(rows)
        m = len(rows)
        columns = {
            "timestamp": times[rows], "node_id": batch.columns["node_id"][rows], "anomaly_score": score / 1000.0,
            "threshold": np.ones(m), "is_anomaly": np.zeros(m, bool),
            "detection_method": ["x" * 2000 if t == 99 else "count" for t in times[rows].tolist()],
        }  # fmt: skip
        return Result({SYSTEM_SCORE: Output(rows, columns)}, rejected)

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """How many were numbered."""
        return {"seen": (float(self.seen), None)}


AGENT = declare("counting", source=SYSTEM_KEYED, state=Counting, publishes=(SYSTEM_SCORE,))
ZEROS = dict.fromkeys(SYSTEM_KEYED.record.__struct_fields__, 0.0)  # type: ignore[union-attr]


def value(time_ms: int) -> bytes:
    return msgspec.json.encode(ZEROS | {"timestamp": time_ms, "node_id": "n"})


def runner_of(
    agent: Agent, settings: Settings, tracker: OffsetTracker[TP], publish: Publish, metrics: Metrics
) -> Runner:
    stepper = Stepper(agent, settings.name_of(agent.source))

    async def flush() -> None:
        """Nothing waits."""

    store = StateStore(stepper, settings, None, publish, flush, metrics)
    return Runner(stepper, store, settings, tracker, publish, metrics, Wire(settings), {})


class Bench:
    """A runner, its tracker, and what it published."""

    def __init__(self, **environment: str) -> None:
        self.tracker: OffsetTracker[TP] = OffsetTracker()
        self.out: dict[str, list[tuple[bytes | None, bytes | None, dict[str, bytes | None]]]] = defaultdict(list)
        self.metrics = Metrics()
        settings = Settings.from_environment(environment)
        self.runner = runner_of(AGENT, settings, self.tracker, self.publish, self.metrics)

    async def publish(self, topic: str, messages: Messages, *, partition: int = -1) -> None:
        rows = zip(messages.keys, messages.values, messages.headers, strict=True)
        self.out[topic] += [(k, v, dict(h)) for k, v, h in rows]

    def chunk(self, first: int, values: Sequence[bytes], partition: int = 0) -> Chunk:
        tp = TP(SYSTEM_KEYED.name, partition)
        records = [
            ConsumerRecord(
                *tp,
                first + i,
                0,
                0,
                b"n",
                v,
                None,
                1,
                len(v),
                ((header.ORIGIN, b"raw/%d/%d" % (partition + 1, first + i)),),
            )
            for i, v in enumerate(values)
        ]
        return Chunk(tp, records, self.tracker.register(tp, first, first + len(records)))

    def process(self, *chunks: Chunk) -> None:
        async def run() -> None:
            for chunk in chunks:
                await self.runner.process([chunk])

        asyncio.run(run())

    def run(self, *chunks: Chunk) -> None:
        async def arriving() -> AsyncIterator[Chunk]:
            for chunk in chunks:
                yield chunk

        asyncio.run(self.runner.run(arriving()))

    def scores(self) -> list[int]:
        return [round(1000 * msgspec.json.decode(v or b"")["anomaly_score"]) for _, v, _ in self.out[SYSTEM_SCORE.name]]


def test_outputs_carry_origin_key_and_id_and_the_chunk_is_done() -> None:
    b = Bench()
    b.process(b.chunk(5, [value(10), value(11)]))
    (key, first, headers), _ = b.out[SYSTEM_SCORE.name]
    assert key == b"n"
    assert headers[header.ORIGIN] == b"raw/1/5"
    assert msgspec.json.decode(first or b"")["id"] == "raw/1/5:system.score"
    assert b.tracker.committable(TP(SYSTEM_KEYED.name, 0)) == 7
    assert b.tracker.busy == 0


def test_rejects_keep_their_rows_whoever_rejects_them() -> None:
    b = Bench()
    b.process(b.chunk(0, [b"{", value(10), b"", value(13), value(3), value(12)]))
    dead = {v: h[header.ERROR_OFFSET] for _, v, h in b.out[DEAD_LETTER.name]}
    assert dead == {b"{": b"0", b"": b"2", value(13): b"3"}
    assert [(v, h[header.ERROR_OFFSET]) for _, v, h in b.out[LATE.name]] == [(value(3), b"4")]
    assert [h[header.ORIGIN] for _, _, h in b.out[SYSTEM_SCORE.name]] == [b"raw/1/1", b"raw/1/5"]


def test_a_chunk_of_nothing_but_corrupt_records_is_done_too() -> None:
    b = Bench()
    b.process(b.chunk(0, [b"", b"x"]))
    assert len(b.out[DEAD_LETTER.name]) == 2
    assert b.tracker.committable(TP(SYSTEM_KEYED.name, 0)) == 2


def test_an_oversized_output_becomes_a_dead_letter_of_its_input() -> None:
    b = Bench(DWCP_OUTPUT_MAX_BYTES="1100")
    b.process(b.chunk(0, [value(10), value(99), value(11)]))
    assert len(b.out[SYSTEM_SCORE.name]) == 2
    ((_, dead, headers),) = b.out[DEAD_LETTER.name]
    assert (dead, headers[header.ERROR_REASON]) == (value(99), b"oversized")


def test_state_goes_on_across_chunks_and_is_per_partition() -> None:
    b = Bench()
    b.process(b.chunk(0, [value(10)]), b.chunk(0, [value(10)], partition=1), b.chunk(1, [value(11)]))
    assert b.scores() == [0, 0, 1]
    assert b.runner.store.gauges() == [{"seen": (2.0, None)}, {"seen": (1.0, None)}]


def test_a_rebalance_drops_what_stands_elsewhere_and_keeps_what_stands_right() -> None:
    b = Bench()
    b.process(b.chunk(0, [value(10)]), b.chunk(0, [value(10)], partition=1), b.chunk(0, [value(10)], partition=2))
    b.runner.store.assign({0: 1, 1: 5}, settled=True)
    assert b.runner.store.gauges() == [{"seen": (1.0, None)}, {"seen": (0.0, None)}]
    b.process(b.chunk(1, [value(11)]), b.chunk(5, [value(11)], partition=1))
    assert b.scores() == [0, 0, 0, 1, 0]


def test_a_rebalance_amid_a_step_keeps_nothing() -> None:
    b = Bench()
    b.process(b.chunk(0, [value(10)]))
    b.runner.store.assign({0: 1}, settled=False)
    assert b.runner.store.gauges() == [{"seen": (0.0, None)}]


def test_a_chunk_of_nothing_but_rejects_moves_the_state_on() -> None:
    b = Bench()
    b.process(b.chunk(0, [value(10)]), b.chunk(1, [b"{"]))
    b.runner.store.assign({0: 2}, settled=True)
    assert b.runner.store.gauges() == [{"seen": (1.0, None)}]


def test_offsets_that_hold_nothing_any_more_are_counted() -> None:
    b = Bench()
    b.runner.store.assign({0: 3}, settled=True)
    b.process(b.chunk(10, [value(10)]))
    assert b.metrics.registry.get_sample_value("dwcp_skipped_offsets_total", {"agent": "counting"}) == 7


def test_what_ingest_delivered_twice_is_left_out_and_counted() -> None:
    b = Bench()
    first = b.chunk(0, [value(10), value(11)])
    again = b.chunk(2, [value(11), value(12)])
    again.records[0].headers = first.records[1].headers
    b.process(first, again)
    assert b.scores() == [0, 1, 2]
    assert b.metrics.registry.get_sample_value("dwcp_redelivered_records_total", {"agent": "counting"}) == 1
    assert b.tracker.committable(first.tp) == 4


def test_records_on_another_partition_than_their_key_says_are_counted() -> None:
    b = Bench()
    home = murmur2_partition(b"n", SYSTEM_KEYED.partitions)
    first, keyless, stray = (
        b.chunk(0, [value(10), value(11)], home), b.chunk(2, [value(12)], home), b.chunk(0, [value(10)], home ^ 1)
    )  # fmt: skip
    keyless.records[0].key = None
    b.process(first, keyless, stray)
    labels = {"topic": SYSTEM_KEYED.name}
    assert b.metrics.registry.get_sample_value("dwcp_misrouted_records_total", labels) == 1


def test_a_replayed_dead_letter_is_no_redelivery() -> None:
    b = Bench()
    first = b.chunk(0, [value(10), value(11)])
    again = b.chunk(2, [value(12)])
    again.records[0].headers = (*first.records[0].headers, (header.REPLAYED_FROM, b"dead/0/7"))
    b.process(first, again)
    assert b.scores() == [0, 1, 2]


def test_an_overtaken_chunk_is_left_alone() -> None:
    b = Bench()
    chunk = b.chunk(0, [value(10)])
    b.tracker.revoke([chunk.tp])
    b.process(chunk)
    assert b.out == {}


def test_a_keyed_record_without_origin_is_its_own_origin() -> None:
    b = Bench()
    chunk = b.chunk(4, [value(10)])
    chunk.records[0].headers = ()
    b.process(chunk)
    assert b.out[SYSTEM_SCORE.name][0][2][header.ORIGIN] == b"%s/0/4" % SYSTEM_KEYED.name.encode()


def test_an_origin_that_is_no_text_is_not_taken() -> None:
    b = Bench()
    chunk = b.chunk(4, [value(10)])
    chunk.records[0].headers = ((header.ORIGIN, b"\xff"),)
    b.process(chunk)
    assert b.out[SYSTEM_SCORE.name][0][2][header.ORIGIN] == b"%s/0/4" % SYSTEM_KEYED.name.encode()


def test_a_reject_too_large_to_be_written_says_where_it_is() -> None:
    b = Bench(DWCP_OUTPUT_MAX_BYTES="1024")
    chunk = b.chunk(0, [b"{" * 3000, b"[", b"{"])
    chunk.records[1].headers = (("theirs", b"x" * 3000),)
    b.process(chunk)
    large, headed, small = b.out[DEAD_LETTER.name]
    assert [v for _, v, _ in (large, headed, small)] == [None, None, b"{"]
    assert large[2][header.ERROR_REASON] == b"malformed"
    assert (large[2][header.ERROR_OFFSET], headed[2][header.ERROR_OFFSET]) == (b"0", b"1")
    assert "theirs" not in headed[2]


def test_counts() -> None:
    b = Bench()
    b.process(b.chunk(0, [b"{", value(10), value(3)]))
    text = b.metrics.render().decode()
    assert 'dwcp_events_in_total{topic="dwcp.system.keyed.v1"} 3.0' in text
    assert 'dwcp_events_out_total{topic="dwcp.system.score.v1"} 1.0' in text
    assert 'dwcp_dead_letters_total{agent="counting",reason="malformed"} 1.0' in text
    assert 'dwcp_late_records_total{agent="counting"} 1.0' in text
    assert 'dwcp_step_seconds_count{agent="counting"} 1.0' in text


class Fussy(Counting):
    """Fails on the record of time 66, after it has begun to count the batch."""

    def step(self, batch: Batch) -> Result:
        """Number the records."""
        if 66 in batch.columns["timestamp"]:
            self.seen += 1000
            raise ValueError("sixty-six")
        return super().step(batch)


def test_a_record_that_a_step_fails_on_goes_to_the_dead_letters_and_the_stream_goes_on() -> None:
    b = Bench()
    agent = declare("counting", source=SYSTEM_KEYED, state=Fussy, publishes=(SYSTEM_SCORE,))
    b.runner = runner_of(agent, Settings.from_environment({}), b.tracker, b.publish, b.metrics)
    b.process(b.chunk(0, [value(10), b"{", value(66), value(12)]), b.chunk(4, [value(13), value(14)]))
    assert [v for _, v, _ in b.out[DEAD_LETTER.name]] == [b"{", value(66), value(13)]
    failed = b.out[DEAD_LETTER.name][1][2]
    assert failed[header.ERROR_REASON] == b"step_failed"
    assert failed[header.ERROR_MESSAGE] == b"ValueError: sixty-six"
    assert [h[header.ORIGIN] for _, _, h in b.out[SYSTEM_SCORE.name]] == [b"raw/1/0", b"raw/1/3", b"raw/1/5"]
    assert b.tracker.committable(TP(SYSTEM_KEYED.name, 0)) == 6


@pytest.mark.parametrize(
    ("failure", "records", "says"), [("ValueError('boom')", 64, "boom"), ("InfraError('disk full')", 1, "disk full")]
)
def test_what_is_no_records_fault_ends_the_process_before_the_chunk_is_done(
    failure: str, records: int, says: str
) -> None:
    program = f"""
from schemas.error import InfraError
from tests.streams import test_runner as t

class Broken(t.Counting):
    def step(self, batch):
        raise {failure}

object.__setattr__(t.AGENT, "state", Broken)
b = t.Bench()
b.process(b.chunk(7, [t.value(10)] * {records}))
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 70
    assert done.stdout == ""
    assert says in done.stderr
    assert "agent counting" in done.stderr
    assert f"Span(7, {7 + records})" in done.stderr, "where it happened"


def test_declarations_that_cannot_work() -> None:
    with pytest.raises(TypeError, match="no record type"):
        declare("x", source=DEAD_LETTER, state=Counting, publishes=())
    other = declare("other", source=SYSTEM_KEYED, state=Counting, publishes=())
    with pytest.raises(ValueError, match="same"):
        agents_by_name([AGENT, other])
    assert list(agents_by_name([AGENT, declare("r", source=SYSTEM_RAW, state=Counting, publishes=())])) == [
        "counting",
        "r",
    ]


def test_raw_records_are_their_own_origin_whatever_they_claim() -> None:
    tracker: OffsetTracker[TP] = OffsetTracker()
    bench = Bench()
    agent = declare("raw", source=NETWORK_RAW, state=Counting, publishes=())
    runner = runner_of(agent, Settings.from_environment({}), tracker, bench.publish, Metrics())
    tp = TP(NETWORK_RAW.name, 3)
    record = ConsumerRecord(*tp, 8, 0, 0, None, b"{", None, 0, 1, ((header.ORIGIN, b"forged/0/0"),))
    asyncio.run(runner.process([Chunk(tp, [record], tracker.register(tp, 8, 9))]))
    ((_, _, headers),) = bench.out[DEAD_LETTER.name]
    assert headers[header.ORIGIN] == b"dwcp.network.raw.v1/3/8"


def test_chunks_that_wait_are_joined_by_partition_and_in_order() -> None:
    apart, joined = Bench(), Bench()
    for b, go in ((apart, apart.process), (joined, joined.run)):
        go(
            b.chunk(0, [value(10)]),
            b.chunk(0, [value(20)], partition=1),
            b.chunk(1, [b"{", value(11)]),
            b.chunk(3, [value(12)]),
        )
    assert joined.out.keys() == apart.out.keys()
    for topic, records in apart.out.items():
        assert sorted(joined.out[topic], key=str) == sorted(records, key=str)
    for partition, end in ((0, 4), (1, 1)):
        assert joined.tracker.committable(TP(SYSTEM_KEYED.name, partition)) == end
    assert joined.tracker.busy == 0
    assert joined.metrics.registry.get_sample_value("dwcp_batch_records_count", {"agent": "counting"}) == 2
    assert apart.metrics.registry.get_sample_value("dwcp_batch_records_count", {"agent": "counting"}) == 4


def together(b: Bench, *chunks: Chunk) -> None:
    asyncio.run(b.runner.process(chunks))


def partitions_of_chunks(b: Bench) -> list[Chunk]:
    """Good, bad, late and failing records, some partitions with nothing else."""
    given = ([value(10), b"{"], [value(3), value(13)], [b""], [value(66), value(20), value(99)], [value(30)])
    return [b.chunk(5 * p, values, p) for p, values in enumerate(given)]


@pytest.mark.parametrize("source", [SYSTEM_KEYED, SYSTEM_RAW])
def test_partitions_together_publish_what_each_alone_does(source: Topic) -> None:
    agent = declare("counting", source=source, state=Fussy, publishes=(SYSTEM_SCORE,))
    environment = {"DWCP_OUTPUT_MAX_BYTES": "1100"}
    found = []
    for is_joined in (False, True):
        b = Bench()
        b.runner = runner_of(agent, Settings.from_environment(environment), b.tracker, b.publish, b.metrics)
        chunks = partitions_of_chunks(b)
        if is_joined:
            together(b, *chunks)
        else:
            b.process(*chunks)
        assert [b.tracker.committable(chunk.tp) for chunk in chunks] == [chunk.span.end for chunk in chunks]
        assert b.tracker.busy == 0
        found.append(b)
    alone, joined = found
    where = {
        h[header.ORIGIN]: (h[header.ERROR_PARTITION], h[header.ERROR_OFFSET])
        for _, _, h in joined.out[DEAD_LETTER.name]
    }
    assert sorted(where.values()) == [(b"0", b"1"), (b"1", b"6"), (b"2", b"10"), (b"3", b"15"), (b"3", b"17")]
    assert joined.out.keys() == alone.out.keys()
    for topic in alone.out.keys() - {SYSTEM_SCORE.name} if source is SYSTEM_RAW else alone.out.keys():
        assert sorted(joined.out[topic], key=str) == sorted(alone.out[topic], key=str)
    assert len(joined.out[SYSTEM_SCORE.name]) == len(alone.out[SYSTEM_SCORE.name]) == 3


def test_partitions_of_a_raw_topic_take_one_step() -> None:
    b = Bench()
    agent = declare("counting", source=SYSTEM_RAW, state=Counting, publishes=(SYSTEM_SCORE,))
    b.runner = runner_of(agent, Settings.from_environment({}), b.tracker, b.publish, b.metrics)
    together(b, *(b.chunk(0, [value(10)], p) for p in range(5)))
    assert b.metrics.registry.get_sample_value("dwcp_batch_records_count", {"agent": "counting"}) == 1
    assert b.scores() == [0, 1, 2, 3, 4]


def test_packs_hold_a_partition_once_and_stay_within_the_limit() -> None:
    b = Bench()
    groups = by_partition([b.chunk(3 * i, [value(10)] * 3, p) for i in range(3) for p in (0, 1, 2)], 3)
    assert [[c.tp.partition for c in pack] for pack in packs(groups, 100)] == [[0, 1, 2]] * 3
    assert [[c.tp.partition for c in pack] for pack in packs(groups[:3], 6)] == [[0, 1], [2]]
    assert [[c.tp.partition for c in pack] for pack in packs(groups[:3], 2)] == [[0], [1], [2]]
    assert packs([], 4) == []


def test_joined_chunks_stay_within_the_batch_limit() -> None:
    b = Bench(DWCP_BATCH_MAX_RECORDS="4")
    b.run(*(b.chunk(2 * i, [value(10 + 2 * i), value(11 + 2 * i)]) for i in range(4)), b.chunk(8, [value(30)] * 5))
    assert b.metrics.registry.get_sample_value("dwcp_batch_records_count", {"agent": "counting"}) == 3
    assert b.tracker.committable(TP(SYSTEM_KEYED.name, 0)) == 13


def test_a_chunk_that_a_seek_has_overtaken_is_left_out() -> None:
    b = Bench()
    tp = TP(SYSTEM_KEYED.name, 0)
    old = b.chunk(0, [value(10)])
    b.tracker.seek({tp: 0})
    b.run(old, b.chunk(0, [value(10)]))
    assert len(b.out[SYSTEM_SCORE.name]) == 1
    assert b.tracker.committable(tp) == 1
