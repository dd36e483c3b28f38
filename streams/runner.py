"""The one guarded loop that every agent runs in.

Chunk -> columns -> step -> bytes -> producer -> done. What is bad in a record goes to
the dead-letter or the late topic and the stream goes on. Nothing else may go wrong
quietly: Faust commits an event whose agent raised, so no exception leaves the loop.
Trouble with the infrastructure, and an exception in a step that nobody foresaw, end
the process with exit code 70 before the chunk is done; a restart replays it. (A step
that fails on the same record every time therefore stops the stream: loud, and
nothing is lost.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas import header
from schemas.batch import Batch, Rejection, Result
from schemas.codec import codec_of
from schemas.error import DwcpError, InfraError, LateRecord, ValidationError
from schemas.topic import DEAD_LETTER, INPUTS, LATE, NETWORK_FORECAST
from streams.agent import Agent, State
from streams.chunk import Chunk, by_partition, fill
from streams.envelope import Envelope, Headers, reject_headers, reject_record
from streams.fatal import die
from streams.metric import Gauges, Metrics
from streams.offset import OffsetTracker
from streams.settings import Settings

_log = logging.getLogger(__name__)

_HEADER_OVERHEAD_BYTES: Final = 512


class Publish(Protocol):
    """Hands records to a producer; see `streams.publisher.Publisher.publish`."""

    async def __call__(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], headers: Sequence[Headers]
    ) -> None:
        """Return once all are in the producer's queue."""
        ...


@dataclass(slots=True)
class _Held:
    """A partition's state and the offset it has reached."""

    state: State
    next_offset: int
    moved: bool = False


class Runner:
    """Runs one agent.

    Parameters
    ----------
    agent
        What to run.
    settings
        Topic names and size limits.
    tracker
        Where finished chunks are reported.
    publish
        Where outputs go.
    metrics
        What is counted.
    """

    def __init__(
        self, agent: Agent, settings: Settings, tracker: OffsetTracker[Any], publish: Publish, metrics: Metrics
    ) -> None:
        assert agent.source.record is not None
        self.agent = agent
        self._settings = settings
        self._tracker = tracker
        self._publish = publish
        self._metrics = metrics
        self._codec = codec_of(agent.source.record)
        self._is_raw = agent.source in INPUTS
        self._envelopes = {topic: Envelope(topic, agent.name) for topic in agent.publishes}
        self._held: dict[int, _Held] = {}
        self._step_seconds = metrics.step_seconds.labels(agent.name)
        self._batch_records = metrics.batch_records.labels(agent.name)
        self._events_in = metrics.events_in.labels(settings.name_of(agent.source))

    async def run(self, chunks: AsyncIterable[Chunk]) -> None:
        """Process chunks until they end.

        Chunks that wait while one is processed are joined by partition, so that a busy
        worker pays once per batch for what an idle one pays per chunk.
        """
        waiting: asyncio.Queue[Chunk | None] = asyncio.Queue(self._settings.buffer_batches)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fill(waiting, chunks))
            more = True
            while more:
                ready = [await waiting.get()]
                while not waiting.empty():
                    ready.append(waiting.get_nowait())
                more = ready[-1] is not None
                for group in by_partition([c for c in ready if c is not None], self._settings.batch_max_records):
                    await self.process(group)

    async def process(self, chunks: Sequence[Chunk]) -> None:
        """Process consecutive chunks of one partition and mark them done; never raises, except when cancelled."""
        # What a seek or a rebalance has overtaken comes again.
        begun = [chunk for chunk in chunks if self._tracker.begin(chunk.tp, chunk.span)]
        if not begun:
            return
        batch = Chunk.join(begun)
        try:
            await self._apply(batch)
            for chunk in begun:
                self._tracker.finish(chunk.span)
        except asyncio.CancelledError:
            raise
        except DwcpError as exc:
            die(InfraError(f"{self._where(batch)}: {exc}"))
        except Exception as exc:
            _log.exception("%s: the step failed", self._where(batch))
            die(InfraError(f"{self._where(batch)}: {type(exc).__name__}: {exc}"))
        finally:
            for chunk in begun:
                self._tracker.leave(chunk.span)

    def gauges(self) -> list[Gauges]:
        """Gauges of every partition's state."""
        return [held.state.gauges() for held in self._held.values()]

    def assigned(self, partitions: set[int]) -> None:
        """Partitions after a rebalance: drop the states of all others."""
        self._held = {p: held for p, held in self._held.items() if p in partitions}
        for held in self._held.values():
            held.moved = True

    async def _apply(self, chunk: Chunk) -> None:
        records = chunk.records
        decoded, rejected = self._codec.decode([r.value for r in records])
        origin = self._origins(chunk)
        rows = _kept(len(records), rejected)
        result = Result()
        if decoded:
            state = self._state_at(chunk)
            batch = Batch(
                topic=self.agent.source,
                partition=chunk.tp.partition,
                columns=self._codec.columns(decoded),
                key=[records[r].key for r in rows.tolist()],
                offset=np.array([records[r].offset for r in rows.tolist()], np.int64),
                origin=[origin[r] for r in rows.tolist()],
            )
            started = perf_counter()
            result = state.step(batch)
            self._observe(batch, result, perf_counter() - started)
            rejected += [Rejection(int(rows[r]), error) for r, error in result.rejected]
            rejected += await self._publish_outputs(batch, result, rows)
        await self._publish_rejects(chunk, origin, rejected)
        self._events_in.inc(len(records))

    def _state_at(self, chunk: Chunk) -> State:
        """The partition's state, if it has seen everything before the chunk and nothing of it.

        A chunk from before the state's offset is a replay, and after a rebalance a chunk
        from after it means that somebody else has worked in between: both start afresh.
        """
        partition, span = chunk.tp.partition, chunk.span
        held = self._held.get(partition)
        if held is None or span.first < held.next_offset or (held.moved and span.first != held.next_offset):
            held = self._held[partition] = _Held(self.agent.state(), span.end)
        held.next_offset = span.end
        held.moved = False
        return held.state

    async def _publish_outputs(self, batch: Batch, result: Result, rows: NDArray[np.intp]) -> list[Rejection]:
        """Publish the outputs; what is too large for the broker becomes a reject of its input."""
        oversized: list[Rejection] = []
        limit = self._settings.output_max_bytes - _HEADER_OVERHEAD_BYTES
        for topic, output in result.outputs.items():
            if not len(output.row):
                continue
            keys, values, headers = self._envelopes[topic].encode(output, batch.origin, batch.key)
            if max(map(len, values)) > limit:
                large = [i for i, value in enumerate(values) if len(value) > limit]
                for i in reversed(large):
                    message = f"its {topic.kind} record has {len(values[i])} bytes, {limit} are allowed"
                    oversized.append(Rejection(int(rows[output.row[i]]), ValidationError("oversized", message)))
                    del keys[i], values[i], headers[i]
            name = self._settings.name_of(topic)
            await self._publish(name, keys, values, headers)
            self._metrics.events_out.labels(name).inc(len(values))
        return oversized

    async def _publish_rejects(self, chunk: Chunk, origin: Sequence[bytes], rejected: Sequence[Rejection]) -> None:
        for topic, late in ((DEAD_LETTER, False), (LATE, True)):
            chosen = [r for r in rejected if isinstance(r.error, LateRecord) == late]
            if not chosen:
                continue
            records = [chunk.records[r.row] for r in chosen]
            headers = [
                reject_headers(record, origin[r.row], r.error, self.agent.name, chunk.tp.topic, chunk.tp.partition)
                for record, r in zip(records, chosen, strict=True)
            ]
            name = self._settings.name_of(topic)
            limit = 2 * self._settings.output_max_bytes
            sent = [reject_record(record, own, limit) for record, own in zip(records, headers, strict=True)]
            await self._publish(name, [k for k, _, _ in sent], [v for _, v, _ in sent], [h for _, _, h in sent])
            self._metrics.events_out.labels(name).inc(len(chosen))
            if late:
                self._metrics.late.labels(self.agent.name).inc(len(chosen))
                continue
            for r in chosen:
                self._metrics.dead_letters.labels(self.agent.name, r.error.reason).inc()

    def _origins(self, chunk: Chunk) -> list[bytes]:
        topic, partition = chunk.tp.topic, chunk.tp.partition
        if self._is_raw:
            return [header.origin_of(topic, partition, r.offset) for r in chunk.records]
        return [_origin_header(r.headers) or header.origin_of(topic, partition, r.offset) for r in chunk.records]

    def _observe(self, batch: Batch, result: Result, elapsed_s: float) -> None:
        self._step_seconds.observe(elapsed_s)
        self._batch_records.observe(len(batch))
        forecasts = result.outputs.get(NETWORK_FORECAST)
        if forecasts is not None and len(forecasts.row):
            self._metrics.pba_predictions.inc(len(forecasts.row))
            self._metrics.pba_latency_ms.observe(1000 * elapsed_s / len(forecasts.row))

    def _where(self, chunk: Chunk) -> str:
        return f"agent {self.agent.name}, {chunk!r}"


def _kept(n: int, rejected: Sequence[Rejection]) -> NDArray[np.intp]:
    """Rows that were not rejected."""
    keep = np.ones(n, np.bool_)
    keep[[r.row for r in rejected]] = False
    return np.flatnonzero(keep)


def _origin_header(headers: Sequence[tuple[str, bytes]]) -> bytes | None:
    """The origin a record carries; ours write it first. None when it is not text: ids are made of it."""
    for name, value in headers:
        if name == header.ORIGIN:
            return value if value and value.isascii() else None
    return None
