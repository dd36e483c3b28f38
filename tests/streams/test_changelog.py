"""States written to a broker and restored from it: by snapshot, by replay, and by both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from agents import system
from online_models import capture
from online_models.anomaly.state import SystemState
from schemas import header
from schemas.error import DwcpError
from schemas.topic import SYSTEM_KEYED, SYSTEM_STATE
from streams.agent import Agent, declare, is_kept
from streams.changelog import Changelog, Record
from streams.embedded import EmbeddedBroker
from streams.message import Messages
from streams.metric import Metrics
from streams.settings import Settings
from streams.snapshot import SnapshotLog
from streams.stepper import Stepper
from streams.store import StateStore
from streams.work import Held
from tests.online_models.stream import metric_stream

VALUES = [msgspec.json.encode(m, enc_hook=float) for m in metric_stream(steps=150, nodes=4)]
HALF, END = 300, 600
PIECES = 4 * len(system.agent.state().parts)  # type: ignore[attr-defined]
"""Of a snapshot in which every node of every part is a piece."""


def key(at: int) -> bytes:
    """Of a record: the node, four of which take turns."""
    return b"n%d" % (at % 4)


class Log:
    """A broker with 600 system records on partition 2, and a store that writes to it as a worker does."""

    def __init__(self, broker: EmbeddedBroker, agent: Agent = system.agent, **environment: str) -> None:
        self.settings = Settings.from_environment({"BROKER_URL": broker.address, **environment})
        self.producer = Producer({"bootstrap.servers": broker.address})
        self.stepper = Stepper(agent, SYSTEM_KEYED.name)
        self.changelog = Changelog(self.stepper, self.settings, {})
        self.metrics = Metrics()
        self.written: list[tuple[Any, Any]] = []
        self.flushed = 0
        self.store = StateStore(self.stepper, self.settings, self.changelog, self.publish, self.flush, self.metrics)

    async def publish(self, topic: str, messages: Messages, *, partition: int = -1) -> None:
        self.written += zip(messages.values, messages.headers, strict=True)
        for key, value, own in zip(messages.keys, messages.values, messages.headers, strict=True):
            self.producer.produce(topic, value, key, partition, headers=own)
        self.producer.flush()

    async def flush(self) -> None:
        self.producer.flush()
        self.flushed = len(self.written)

    async def commit(self, end: int) -> None:
        """Tell the store that the broker confirmed an offset, and wait for what it publishes then."""
        self.store.committed([(2, end)])
        await self.store.written()

    def fill(self) -> None:
        for at, value in enumerate(VALUES):
            own = [(header.ORIGIN, b"raw/0/%d" % at)]
            self.producer.produce(SYSTEM_KEYED.name, value, key(at), 2, headers=own)
        self.producer.flush()

    def step(self, held: Held, first: int, end: int) -> None:
        records = [Record(key(at), VALUES[at], at, 0, [(header.ORIGIN, b"raw/0/%d" % at)]) for at in range(first, end)]
        self.stepper.step(held, self.stepper.admit(held, records, self.stepper.decode(records, 2)))
        held.next_offset = end

    def replayed(self, end: int) -> str:
        """Digest of the state after the first records, stepped over at once."""
        held = self.stepper.start()
        self.step(held, 0, end)
        return digest(held)

    async def work(self, *ends: int, committed: bool = True) -> None:
        """Step up to each offset in turn, with a snapshot there."""
        self.store.assign({2: 0}, settled=True)
        held = await self.store.at(2, 0)
        for end in ends:
            self.step(held, held.next_offset or 0, end)
            await self.store.capture(at_once=True)
            if committed:
                await self.commit(end)


def digest(held: Held) -> str:
    assert is_kept(held.state)
    return held.state.digest()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as embedded:
        yield embedded


@pytest.fixture
def log(broker: EmbeddedBroker) -> Log:
    made = Log(broker)
    made.fill()
    return made


@pytest.mark.parametrize(("ends", "replayed"), [((HALF,), 300), ((100, 200, HALF, 500), 100), ((END,), 0), ((), 600)])
def test_restored_is_snapshot_plus_replay(log: Log, ends: tuple[int, ...], replayed: int) -> None:
    asyncio.run(log.work(*ends))
    restored = log.changelog.restore({2: END})[2]
    assert restored.replayed == replayed
    assert (restored.id is not None) is bool(ends)
    assert restored.held.next_offset == END
    assert restored.held.newest_origin == {b"raw/0": END - 1}
    assert digest(restored.held) == log.replayed(END)


def test_a_snapshot_beyond_the_offset_asked_for_is_not_used(log: Log) -> None:
    asyncio.run(log.work(100, 500))
    restored = log.changelog.restore({2: HALF})[2]
    assert restored.replayed == 200
    assert digest(restored.held) == log.replayed(HALF)


def test_what_is_not_committed_is_not_published(log: Log) -> None:
    asyncio.run(log.work(100, 200, committed=False))
    assert log.changelog.end(2) == 0


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is a piece of its own."""
    monkeypatch.setattr(capture, "PIECE_BYTES", 1)


def test_what_is_stepped_over_while_a_snapshot_is_published_is_not_in_it(log: Log, pieces: None) -> None:
    async def overtake() -> None:
        """Step over a record after each piece."""
        await log.work(HALF, committed=False)
        held = await log.store.at(2, HALF)
        log.store.committed([(2, HALF)])
        while len(log.written) < PIECES:
            if (held.next_offset or 0) < HALF + len(log.written):
                log.step(held, HALF + len(log.written) - 1, HALF + len(log.written))
            await asyncio.sleep(0)
        await log.store.written()

    asyncio.run(overtake())
    restored = log.changelog.restore({2: HALF})[2]
    assert (len(log.written), restored.replayed) == (PIECES, 0)
    assert digest(restored.held) == log.replayed(HALF)


def test_others_have_their_turn_between_two_pieces(log: Log, pieces: None) -> None:
    seen = []

    async def watch() -> None:
        await log.work(HALF, committed=False)
        log.store.committed([(2, HALF)])
        while len(log.written) < PIECES:
            seen.append(len(log.written))
            await asyncio.sleep(0)

    asyncio.run(watch())
    assert sorted(set(seen)) == list(range(PIECES))


def test_a_snapshot_is_not_overtaken_by_the_next(log: Log, pieces: None) -> None:
    async def hurry() -> None:
        await log.work(100, committed=False)
        log.store.committed([(2, 100)])
        await asyncio.sleep(0)
        log.step(await log.store.at(2, 100), 100, 200)
        await log.store.capture(at_once=True)
        await log.store.written()
        assert len(log.written) == PIECES, "what is under way is finished first"
        await log.store.capture(at_once=True)
        await log.commit(200)

    asyncio.run(hurry())
    restored = log.changelog.restore({2: 200})[2]
    assert (len(log.written), restored.replayed) == (2 * PIECES, 0)
    assert digest(restored.held) == log.replayed(200)


@pytest.mark.parametrize("how", ["rewind", "assign"])
def test_half_a_snapshot_is_none(log: Log, pieces: None, how: str) -> None:
    async def interrupt() -> None:
        await log.work(100)
        log.step(await log.store.at(2, 100), 100, 200)
        await log.store.capture(at_once=True)
        log.store.committed([(2, 200)])
        while len(log.written) < PIECES + 2:
            await asyncio.sleep(0)
        if how == "rewind":
            await log.store.rewind(2, 200)
        else:
            log.store.assign({}, settled=True)
        await asyncio.sleep(0.05)

    asyncio.run(interrupt())
    assert len(log.written) == PIECES + 2
    restored = log.changelog.restore({2: 200})[2]
    assert restored.replayed == 100
    assert digest(restored.held) == log.replayed(200)


def test_a_snapshot_that_cannot_be_written_ends_the_process(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[DwcpError] = []
    monkeypatch.setattr("streams.writer.die", died.append)

    async def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    async def work() -> None:
        await log.work(100, committed=False)
        monkeypatch.setattr(log.store._writer, "_publish", fail)
        log.store.committed([(2, 100)])
        await log.store.written()
        await asyncio.sleep(0)

    asyncio.run(work())
    assert [str(error) for error in died] == ["a snapshot could not be written: MemoryError: "]


def test_a_partition_that_never_had_a_record_starts_empty(log: Log) -> None:
    restored = log.changelog.restore({5: 0})[5]
    assert (restored.id, restored.replayed, restored.held.next_offset) == (None, 0, 0)


def test_another_version_of_the_state_is_rebuilt_by_replay(log: Log, broker: EmbeddedBroker) -> None:
    asyncio.run(log.work(HALF))

    class Newer(SystemState):
        revision = 99

    agent = declare("system", source=SYSTEM_KEYED, state=Newer, publishes=(), keeps=SYSTEM_STATE)
    restored = Log(broker, agent).changelog.restore({2: END})[2]
    assert (restored.id, restored.replayed) == (None, END)


def test_the_rebuild_goes_back_no_further_than_it_may(broker: EmbeddedBroker) -> None:
    log = Log(broker, DWCP_REBUILD_RECORDS="250")
    log.fill()
    restored = log.changelog.restore({2: END})[2]
    assert (restored.id, restored.replayed) == (None, 250)


def test_a_next_worker_continues_the_chain(log: Log, broker: EmbeddedBroker) -> None:
    async def take_over() -> None:
        await log.work(100, 200)
        second = Log(broker)
        second.store.assign({2: 200}, settled=True)
        held = await second.store.at(2, 200)
        second.step(held, 200, HALF)
        await second.store.capture(at_once=True)
        await second.commit(HALF)

    asyncio.run(take_over())
    restored = log.changelog.restore({2: HALF})[2]
    assert restored.replayed == 0
    assert restored.base == log.changelog.restore({2: 100})[2].base
    assert digest(restored.held) == log.replayed(HALF)


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_a_state_is_renewed_in_turn_when_its_chain_outgrows_it(
    log: Log, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_bytes = log.stepper.start().state.row_bytes  # type: ignore[attr-defined]
    monkeypatch.setattr("streams.store._LEAST_BYTES", 1)
    monkeypatch.setattr("streams.store._RENEWAL_SHARE", 1 << 30)
    monkeypatch.setattr("streams.store._RENEWAL_BYTES", rows * row_bytes)
    trimmed = []

    def trim(before: Mapping[int, int]) -> None:
        """What replaces it is there first; what is left after this, the embedded broker trims nothing, is enough."""
        assert log.flushed == len(log.written)
        left = SnapshotLog()
        for value, headers in log.written[before[2] :]:
            left.add(value, headers)
        assert left.newest(log.settings.app_id, END, {}) is not None
        trimmed.append(before[2])

    monkeypatch.setattr(log.changelog, "trim", trim)

    async def work() -> None:
        await log.work(20)
        for end in range(21, END + 1):  # one of four nodes changes each time
            log.step(await log.store.at(2, end - 1), end - 1, end)
            await log.store.capture(at_once=True)
            await log.commit(end)

    asyncio.run(work())
    assert len(trimmed) > 5
    restored = log.changelog.restore({2: END})[2]
    assert restored.id is not None
    assert restored.base is not None
    assert restored.id[1] == END - 19
    assert restored.base[1] > restored.id[1] - 60, "the chain is short"
    assert restored.size < 12 * 4 * row_bytes + (1 << 20)
    assert digest(restored.held) == log.replayed(END)


def test_a_rewound_state_is_what_it_was(log: Log) -> None:
    async def rewind() -> Held:
        await log.work(100, 200)
        return await log.store.rewind(2, 150)

    assert digest(asyncio.run(rewind())) == log.replayed(150)


def test_records_wait_while_a_state_is_restored_and_a_later_assignment_wins(log: Log) -> None:
    async def reassign() -> tuple[bool, Held]:
        await log.work(100)
        log.store.assign({2: 200}, settled=False)
        waiting = asyncio.create_task(log.store.at(2, HALF))
        await asyncio.sleep(0)
        was_ready = log.store.ready
        log.store.assign({2: HALF}, settled=False)
        return was_ready, await waiting

    was_ready, held = asyncio.run(reassign())
    assert not was_ready
    assert digest(held) == log.replayed(HALF)


def test_states_that_do_not_change_are_not_written_again(log: Log) -> None:
    asyncio.run(log.work(100))
    end = log.changelog.end(2)

    async def idle() -> None:
        for _ in range(3):
            await log.store.capture(at_once=True)
            await log.commit(100)

    asyncio.run(idle())
    assert log.changelog.end(2) == end
