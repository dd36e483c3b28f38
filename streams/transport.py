"""Record-batch transport: agents get one chunk per partition and poll.

Faust's aiokafka driver hands over one message per record and spends its time on
that. This one hands over one message per (partition, poll) for the application's
topics, whose value is a `Chunk`; every other topic stays per record. It is chosen
by the scheme `dwcp://` (entry point group `faust.transports`); the app is a
`streams.application.Application`, which says which topics come as chunks.

What keeps it exact:

- Chunks are registered with an `OffsetTracker` in the consumer's thread, in the same
  step that takes them from the client, so nothing can be handed out unregistered.
- Taking records and moving positions exclude each other by a lock. Stock Faust lets a
  poll straddle a seek, and aiokafka's `seek_to_committed` leaves a partition without a
  committed offset (or with offset 0) wherever it was; both lose records silently.
- Chunk topics do not take part in Faust's acks (`acks=False`); commits follow the
  tracker, which only the runner advances. A commit that failed is tried again.

Private methods are overridden, so the versions are checked at import.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, ensure_future
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar, NamedTuple

import aiokafka
import faust
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.error import InfraError
from streams import fetched, garbage, lenient
from streams.chunk import Chunk
from streams.offset import OffsetTracker
from streams.publisher import Publisher

if faust.__version__ != "0.15.3" or not aiokafka.__version__.startswith("0.14."):
    raise InfraError(
        f"faust-streaming {faust.__version__} with aiokafka {aiokafka.__version__} is untested here: "
        "install faust-streaming==0.15.3 and aiokafka>=0.14,<0.15"
    )

lenient.install()
fetched.install()

_POLL_S = 0.05
_DRAIN_S = 5.0


class _Polled(NamedTuple):
    generation_id: int
    records: Mapping[TP, list[Any]]


def _retrieved(polled: Future[_Polled]) -> None:
    """A poll that nobody waits for any more has failed unheard."""
    if not polled.cancelled():
        polled.exception()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The client's thread: takes records as chunks, and sets positions, never both at once."""

    consumer: Consumer

    def __post_init__(self) -> None:
        super().__post_init__()
        self._position_lock = asyncio.Lock()

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        client = super()._create_worker_consumer(transport)
        # Fixed at 1500 ms by Faust. A fetch that waits for idle partitions holds up busy ones of the same broker.
        client._fetch_max_wait_ms = self.app.settings.fetch_max_wait_ms
        client._isolation_level = "read_committed"  # what a transaction took back never was
        return client

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        """Chunks or records of the active partitions, whichever are there within `timeout` seconds."""
        active = None if active_partitions is None else frozenset(active_partitions)
        result: Mapping[TP, list[Any]] = await self.call_thread(self._take, active, timeout)
        return result

    async def check_errors(self) -> None:
        """Raise what the group coordinator could not handle; stock Faust never asks, and such a consumer hangs."""
        await self.call_thread(self._check_errors)

    async def _check_errors(self) -> None:
        self._ensure_consumer()._coordinator.check_errors()

    async def _take(self, active: frozenset[TP] | None, timeout_s: float) -> Mapping[TP, list[Any]]:
        client = self._ensure_consumer()
        async with self._position_lock:
            if not self.consumer.flow_active:
                return {}
            fetcher = client._fetcher
            if client._closed or fetcher._closed:
                raise ConsumerStoppedError
            client._coordinator.check_errors()
            with fetcher._subscriptions.fetch_context():
                records = await fetcher.fetched_records(active, timeout_s, client._max_poll_records)
            # Flow stopped while we waited: a rebalance will seek, so these records come again.
            return self._register(records) if self.consumer.flow_active else {}

    def _register(self, records: Mapping[Any, list[Any]]) -> Mapping[TP, list[Any]]:
        taken: dict[TP, list[Any]] = {}
        for client_tp, rows in records.items():
            tp = TP(client_tp.topic, client_tp.partition)
            if self.consumer.takes_chunks(tp):
                span = self.consumer.tracker.register(tp, rows[0].offset, rows[-1].offset + 1)
                taken[tp] = [Chunk(tp, rows, span)]
            else:
                taken[tp] = [fetched.wrapped(tp.topic, tp.partition, row) for row in rows]
        return taken

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Set every position to the committed offset, or to the beginning where there is none."""
        committed: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return committed

    async def _seek_to_committed(self) -> Mapping[TP, int | None]:
        client = self._ensure_consumer()
        async with self._position_lock:
            assigned = client.assignment()
            found = await client._coordinator.fetch_committed_offsets(list(assigned))
            positions: dict[TP, int | None] = {}
            fresh = []
            for tp in assigned:
                offset = found[tp].offset if tp in found else -1
                positions[TP(tp.topic, tp.partition)] = offset if offset >= 0 else None
                if offset >= 0:
                    client.seek(tp, offset)
                else:
                    fresh.append(tp)
            if fresh:
                await client.seek_to_beginning(*fresh)
            self.consumer.tracker.seek({tp: at for tp, at in positions.items() if self.consumer.takes_chunks(tp)})
            self.consumer.last_progress = self.consumer.last_move = monotonic()
            return positions

    async def _seek_wait(self, consumer: aiokafka.AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        async with self._position_lock:
            await super()._seek_wait(consumer, partitions)
            self.consumer.tracker.seek({tp: at for tp, at in partitions.items() if self.consumer.takes_chunks(tp)})

    def seek(self, partition: TP, offset: int) -> None:
        """Set one position; not for chunk topics, whose seeks must wait for a poll to end.

        Raises
        ------
        IllegalStateError
            For a chunk topic: use `seek_wait`.
        """
        if self.consumer.takes_chunks(partition):
            raise IllegalStateError(f"{partition} comes in chunks: use seek_wait")
        super().seek(partition, offset)


class Consumer(driver.Consumer):
    """Faust's consumer, with chunks and exact commits for the application's topics."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.tracker: OffsetTracker[TP] = OffsetTracker()
        self._ends: dict[TP, int] = {}
        self._ahead: Future[_Polled] | None = None
        self.last_progress = self.last_move = monotonic()
        super().__init__(*args, **kwargs)
        garbage.settle()  # kernels are compiled and the app stands

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def verify_all_partitions_active(self) -> None:
        """Nothing: the application watches commits. Stock Faust's check fails on a position that is being reset."""

    def takes_chunks(self, tp: TP) -> bool:
        """True for topics that come as chunks."""
        return tp.topic in self.app.chunk_topics

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Messages of one poll, partitions of all topics taking turns.

        The next poll begins before they are handed out, so that records are fetched while others are worked on. What a
        seek overtakes meanwhile comes again, and is passed over here; so polls begin early only for chunks, of
        which the tracker knows.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if not active and not self.app.client_only:
            await self._thread.check_errors()
            await self.sleep(_POLL_S)  # stock Faust sleeps a whole second, also when all that is full is a buffer
            return
        begun, self._ahead = self._ahead, None
        generation_id, records = await (begun or self._poll(timeout))
        if active and all(map(self.takes_chunks, active)):
            self._ahead = ensure_future(self._poll(timeout))
            self._ahead.add_done_callback(_retrieved)
        for tp, record in self.scheduler.iterate(records):
            if isinstance(record, Chunk) and record.span.forgotten:
                continue
            if not self.flow_active or self.should_stop or self.app.consumer_generation_id != generation_id:
                return  # what is left was registered: it blocks commits until the seek that follows
            self._ends[tp] = self.highwater(tp) or 0
            yield tp, self._to_message(tp, record)

    async def _poll(self, timeout: float) -> _Polled:
        """One poll of the partitions that are active now, and the generation in which it was begun."""
        generation_id = self.app.consumer_generation_id
        active = None if self.app.client_only else self._get_active_partitions()
        return _Polled(generation_id, await self._getmany(active, min(timeout, _POLL_S)))

    async def _drain_messages(self, fetcher: Any) -> None:
        """Poll and hand out until stopped.

        Stock Faust hands out each message in a task of its own, so that agents begin with the first chunk of a poll
        before they see the second, and all of a round's small batches are batches of one.
        """
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await asyncio.sleep(0)
                polled = [found async for found in self.getmany(_POLL_S)]
                if polled:
                    await self.wait_first(self._hand_out(polled), self.suspend_flow.wait())
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise
        finally:
            begun, self._ahead = self._ahead, None  # Faust may start the fetcher again
            if begun is not None:
                begun.cancel()

    async def _hand_out(self, polled: Sequence[tuple[TP, Any]]) -> None:
        """Give messages to their topics, which wait where their buffers are full; commits go by time alone."""
        for tp, message in polled:
            expected = self._read_offset[tp]
            if expected is not None and message.offset < expected:
                continue
            if expected and message.offset > expected + 1 and self.app.topics.acks_enabled_for(message.topic):
                await self._add_gap(tp, expected + 1, message.offset)
            await self.callback(message)
            self._read_offset[tp] = message.offset

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if isinstance(record, Chunk):
            return record.message(self.app.consumer_generation_id)
        return super()._to_message(tp, record)

    def on_buffer_full(self, tp: TP) -> None:
        """Pause the whole topic: its partitions share one buffer, which when full holds up all topics."""
        for other in [active for active in self._get_active_partitions() if active.topic == tp.topic]:
            super().on_buffer_full(other)

    def on_buffer_drop(self, tp: TP) -> None:
        """Resume the whole topic."""
        for other in [buffered for buffered in self._buffered_partitions if buffered.topic == tp.topic]:
            super().on_buffer_drop(other)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp in self.tracker.partitions():
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        return self.tracker.committable(tp) if self.takes_chunks(tp) else super()._new_offset(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return self.takes_chunks(tp) or super()._should_commit(tp, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        did_commit: bool = await super()._commit(offsets)
        if did_commit:
            self.tracker.committed({tp: at for tp, at in offsets.items() if self.takes_chunks(tp)})
            self.last_progress = self.last_move = monotonic()
            self.app.committed(offsets)
        return did_commit

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, and read nothing until the flow is resumed, as Faust does after every seek.

        After recovering tables stock Faust seeks while records flow, and what is read
        between the seek and the resume is cleared from the streams' queues.
        """
        self.stop_flow()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Set every position to the committed offset, and see to it that states come to stand there."""
        committed: Mapping[TP, int] = await super().seek_to_committed()
        self.app.assigned(committed)
        return committed

    async def wait_empty(self) -> None:
        """Wait for the chunks being worked on (not for those buffered), commit what is done, leave a snapshot."""
        deadline = monotonic() + _DRAIN_S
        while self.tracker.busy and monotonic() < deadline:
            await asyncio.sleep(0.005)
        await self.commit_and_end_transactions()
        await self.app.written()
        await self.app.capture(at_once=True)
        floors = {tp: self.tracker.floor(tp) for tp in self.tracker.partitions()}
        self.app.committed({tp: floor for tp, floor in floors.items() if floor is not None})
        await self.app.written()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done, then forget the partitions."""
        await super().on_partitions_revoked(revoked)
        self.tracker.revoke(revoked)
        for tp in revoked:
            self._ends.pop(tp, None)

    def lag(self, tp: TP) -> int:
        """Records on the broker beyond the committed position, as far as both are known."""
        floor = self.tracker.floor(tp)
        return 0 if floor is None else max(0, self._ends.get(tp, 0) - floor)

    def stalled_s(self) -> float:
        """Seconds for which records were handed out and nothing was committed; 0 when nothing waits."""
        if not any(self.tracker.uncommitted(tp) for tp in self.tracker.partitions()):
            self.last_progress = monotonic()
        return monotonic() - self.last_progress

    def idle_s(self) -> float:
        """Seconds since positions were last set or committed."""
        return monotonic() - self.last_move


class Transport(driver.Transport):
    """`dwcp://`: aiokafka with chunks for reading, librdkafka for publishing columns."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Publisher]] = Publisher

    driver_version = f"aiokafka={aiokafka.__version__}, chunks"
