"""The one guarded loop that every agent runs in.

Chunk -> columns -> step -> bytes -> producer -> done. What is bad in a record goes to
the dead-letter or the late topic and the stream goes on; so does a record that a step
fails on. Nothing else may go wrong quietly: Faust commits an event whose agent raised,
so no exception leaves the loop. Trouble with the infrastructure, and a step that fails
on everything, end the process with exit code 70 before the chunk is done; a restart
replays it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import nullcontext
from time import perf_counter, time
from typing import Any, Final

import numpy as np

from schemas.batch import Batch, Rejection, Result
from schemas.error import DwcpError, InfraError, LateRecord, ValidationError
from schemas.header import Headers
from schemas.topic import DEAD_LETTER, LATE, NETWORK_FORECAST, Topic
from streams.chunk import Chunk, by_partition, fill
from streams.decision import log_decisions
from streams.envelope import Envelope, control_headers, reject_headers, reject_record
from streams.fatal import die
from streams.message import Messages
from streams.metric import Metrics
from streams.offset import OffsetTracker
from streams.partition import Homes
from streams.publisher import Publish
from streams.settings import Settings
from streams.span import Spans
from streams.stepper import Stepper, Work
from streams.store import StateStore
from streams.trace import traces
from streams.wire import Wire

_log = logging.getLogger(__name__)

_HEADER_OVERHEAD_BYTES: Final = 512
_REST_S: Final = 0.01
_LARGE: Final = 256
"""Records from which on a batch costs little more per record than a larger one."""


class Runner:
    """Runs one agent.

    Parameters
    ----------
    stepper
        What to run.
    store
        Its states.
    settings
        Topic names and size limits.
    tracker
        Where finished chunks are reported.
    publish
        Where outputs go.
    metrics
        What is counted.
    wire
        Codecs of what is published.
    partitions
        How many each topic has, by name; those of the table where it is not said.
    spans
        Of OpenTelemetry, where they are wanted.
    """

    def __init__(
        self,
        stepper: Stepper,
        store: StateStore,
        settings: Settings,
        tracker: OffsetTracker[Any],
        publish: Publish,
        metrics: Metrics,
        wire: Wire,
        partitions: Mapping[str, int],
        spans: Spans | None = None,
    ) -> None:
        self.agent = stepper.agent
        self.store = store
        self._stepper = stepper
        self._settings = settings
        self._tracker = tracker
        self._publish = publish
        self._metrics = metrics
        self._wire = wire
        self._spans = spans
        self._envelopes = {t: Envelope(t, self.agent.name, wire.codec(t)) for t in self.agent.publishes}
        self._step_seconds = metrics.step_seconds.labels(self.agent.name)
        self._record_age = metrics.record_age_seconds.labels(self.agent.name)
        self._busy_seconds = metrics.busy_seconds.labels(self.agent.name)
        self._batch_records = metrics.batch_records.labels(self.agent.name)
        self._redelivered = metrics.redelivered.labels(self.agent.name)
        self._misrouted = metrics.misrouted.labels(settings.name_of(self.agent.source))
        self._partitions = partitions
        self._homes = Homes(self._partitions_of(self.agent.source))
        self._events_in = metrics.events_in.labels(settings.name_of(self.agent.source))

    async def run(self, chunks: AsyncIterable[Chunk]) -> None:
        """Process chunks until they end.

        Chunks that wait while one is processed are joined by partition, so that a busy
        worker pays once per batch for what an idle one pays per chunk. After a round of small
        batches the agent rests as long as that took, at most 10 ms, while others work and chunks gather.
        """
        waiting: asyncio.Queue[Chunk | None] = asyncio.Queue(self._settings.buffer_batches)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fill(waiting, chunks))
            more = True
            rest_s = 0.0
            while more:
                ready = [await waiting.get()]
                if rest_s:
                    await asyncio.sleep(rest_s)
                while not waiting.empty():
                    ready.append(waiting.get_nowait())
                more = ready[-1] is not None
                given = [c for c in ready if c is not None]
                groups = by_partition(given, self._settings.batch_max_records)
                began = perf_counter()
                for group in groups:
                    await self.process(group)
                    await asyncio.sleep(0)  # others' turn
                is_small = sum(map(len, given)) < _LARGE * len(groups)
                rest_s = min(perf_counter() - began, _REST_S) if is_small else 0.0

    async def process(self, chunks: Sequence[Chunk]) -> None:
        """Process consecutive chunks of one partition and mark them done; never raises, except when cancelled."""
        # What a seek or a rebalance has overtaken comes again.
        begun = [chunk for chunk in chunks if self._tracker.begin(chunk.tp, chunk.span)]
        if not begun:
            return
        batch = Chunk.join(begun)
        started = perf_counter()
        try:
            trace = traces(batch.records)
            with nullcontext() if self._spans is None else self._spans.over(self.agent.name, batch, trace):
                await self._apply(batch, trace)
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
            self._busy_seconds.inc(perf_counter() - started)
            for chunk in begun:
                self._tracker.leave(chunk.span)

    async def _apply(self, chunk: Chunk, traced: Sequence[Headers] | None) -> None:
        records = chunk.records
        work = self._stepper.decode(records, chunk.tp.partition)
        held = await self.store.at(chunk.tp.partition, chunk.span.first)
        if work.controls:
            await asyncio.get_running_loop().run_in_executor(None, self._stepper.prepare, work)
        try:
            work = self._stepper.admit(held, records, work)
            started = perf_counter()
            result = self._stepper.step(held, work)
            self._observe(work.batch, result, perf_counter() - started)
        except (DwcpError, MemoryError):
            raise
        except Exception:
            _log.exception("%s: the step failed; trying its records one by one", self._where(chunk))
            self._metrics.step_failures.labels(self.agent.name).inc()
            held = await self.store.rewind(chunk.tp.partition, chunk.span.first)
            work = self._stepper.admit(held, records, self._stepper.decode(records, chunk.tp.partition))
            result = self._stepper.step_each(held, work)
        held.next_offset = chunk.span.end
        rejected = work.rejected + [Rejection(int(work.row[r]), error) for r, error in result.rejected]
        trace = None if traced is None else [traced[r] for r in work.row.tolist()]
        rejected += await self._publish_outputs(work, result, trace)
        await self._publish_broadcasts(work, result, trace)
        await self._publish_rejects(chunk, work.origin, rejected)
        self._record_age.observe(max(0.0, time() - records[0].timestamp / 1000))
        self._metrics.newest_ms[chunk.tp] = records[-1].timestamp
        self._events_in.inc(len(records))
        self._redelivered.inc(work.redelivered)
        self._misrouted.inc(self._homes.strangers((r.key for r in records), chunk.tp.partition))

    async def _publish_outputs(self, work: Work, result: Result, trace: Sequence[Headers] | None) -> list[Rejection]:
        """Publish the outputs; what is too large for the broker becomes a reject of its input."""
        oversized: list[Rejection] = []
        limit = self._settings.output_max_bytes - _HEADER_OVERHEAD_BYTES
        for topic, output in result.outputs.items():
            if not len(output.row):
                continue
            messages = self._envelopes[topic].encode(output, work.origins, work.keys, trace)
            size = messages.value.size
            if size.max() > limit:
                for i in np.flatnonzero(size > limit).tolist():
                    message = f"its {topic.kind} record has {size[i]} bytes, {limit} are allowed"
                    oversized.append(Rejection(int(work.row[output.row[i]]), ValidationError("oversized", message)))
                messages = messages.take(np.flatnonzero(size <= limit))
            name = self._settings.name_of(topic)
            await self._publish(name, messages)
            log_decisions(topic, self._wire.codec(topic), messages)
            self._metrics.events_out.labels(name).inc(len(messages))
        return oversized

    async def _publish_broadcasts(self, work: Work, result: Result, trace: Sequence[Headers] | None) -> None:
        """Publish controls, each to every partition of its topic."""
        for one in result.broadcasts:
            name = self._settings.name_of(one.topic)
            headers = control_headers(one, work.origins[one.row], self.agent.name, trace[one.row] if trace else ())
            for partition in range(self._partitions_of(one.topic)):
                await self._publish(name, Messages.of([None], [None], [headers]), partition=partition)

    def _partitions_of(self, topic: Topic) -> int:
        return self._partitions.get(self._settings.name_of(topic), topic.partitions)

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
            await self._publish(name, Messages.of(*zip(*sent, strict=True)))
            self._metrics.events_out.labels(name).inc(len(chosen))
            if late:
                self._metrics.late.labels(self.agent.name).inc(len(chosen))
                continue
            for r in chosen:
                self._metrics.dead_letters.labels(self.agent.name, r.error.reason).inc()

    def _observe(self, batch: Batch, result: Result, elapsed_s: float) -> None:
        self._step_seconds.observe(elapsed_s)
        self._batch_records.observe(len(batch))
        forecasts = result.outputs.get(NETWORK_FORECAST)
        if forecasts is not None and len(forecasts.row):
            self._metrics.pba_predictions.inc(len(forecasts.row))
            self._metrics.pba_latency_ms.observe(1000 * elapsed_s / len(forecasts.row))

    def _where(self, chunk: Chunk) -> str:
        return f"agent {self.agent.name}, {chunk!r}"
