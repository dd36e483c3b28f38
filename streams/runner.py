"""The one guarded loop that every agent runs in.

Chunks -> columns -> steps -> bytes -> producer -> done. What is bad in a record goes to
the dead-letter or the late topic and the stream goes on; so does a record that a step
fails on. Nothing else may go wrong quietly: Faust commits an event whose agent raised,
so no exception leaves the loop. Trouble with the infrastructure, and a step that fails
on everything, end the process with exit code 70 before the chunk is done; a restart
replays it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import nullcontext
from time import perf_counter, time
from typing import Any, Final

from schemas.batch import Batch, Result
from schemas.error import DwcpError, InfraError
from schemas.topic import NETWORK_FORECAST
from streams.chunk import Chunk, by_partition, fill, packs, records_of
from streams.fatal import die
from streams.metric import Metrics
from streams.offset import OffsetTracker
from streams.outlet import Outlet
from streams.partition import Homes
from streams.publisher import Publish
from streams.round import Round
from streams.settings import Settings
from streams.span import Spans
from streams.stepper import Stepper
from streams.store import StateStore
from streams.trace import traces
from streams.wire import Wire
from streams.work import Work

_log = logging.getLogger(__name__)

_REST_S: Final = 0.01
_LARGE: Final = 512
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
        self._outlet = Outlet(self.agent, settings, publish, metrics, wire, partitions)
        self._metrics = metrics
        self._spans = spans
        self._step_seconds = metrics.step_seconds.labels(self.agent.name)
        self._record_age = metrics.record_age_seconds.labels(self.agent.name)
        self._busy_seconds = metrics.busy_seconds.labels(self.agent.name)
        self._batch_records = metrics.batch_records.labels(self.agent.name)
        self._redelivered = metrics.redelivered.labels(self.agent.name)
        self._misrouted = metrics.misrouted.labels(settings.name_of(self.agent.source))
        self._homes = Homes(self._outlet.partitions_of(self.agent.source))
        self._events_in = metrics.events_in.labels(settings.name_of(self.agent.source))

    async def run(self, chunks: AsyncIterable[Chunk]) -> None:
        """Process chunks until they end.

        Chunks that wait while others are processed are joined by partition, and small batches of several
        partitions go together, so that a busy worker pays once per batch for what an idle one pays per chunk.
        After a round of small batches the agent rests as long as that took, at most 10 ms, while others work and
        chunks gather.
        """
        waiting: asyncio.Queue[Chunk | None] = asyncio.Queue(self._settings.buffer_batches)
        most = self._settings.batch_max_records
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
                together = packs(by_partition(given, most), min(most, _LARGE))
                began = perf_counter()
                for pack in together:
                    await self.process(pack)
                    await asyncio.sleep(0)  # others' turn
                is_small = sum(map(len, given)) < _LARGE * len(together)
                rest_s = min(perf_counter() - began, _REST_S) if is_small else 0.0

    async def process(self, chunks: Sequence[Chunk]) -> None:
        """Process chunks, those of a partition in order, and mark them done; never raises, except when cancelled."""
        # What a seek or a rebalance has overtaken comes again.
        begun = [chunk for chunk in chunks if self._tracker.begin(chunk.span)]
        if not begun:
            return
        given = [Chunk.join(some) for some in by_partition(begun, sys.maxsize)]
        started = perf_counter()
        try:
            trace = traces(records_of(given))
            with nullcontext() if self._spans is None else self._spans.over(self.agent.name, given, trace):
                await self._outlet.take(Round.of(given, await self._step_all(given)), trace)
            self._count(given)
            for chunk in begun:
                self._tracker.finish(chunk.span)
        except asyncio.CancelledError:
            raise
        except DwcpError as exc:
            die(InfraError(f"{self._where(given)}: {exc}"))
        except Exception as exc:
            _log.exception("%s: the step failed", self._where(given))
            die(InfraError(f"{self._where(given)}: {type(exc).__name__}: {exc}"))
        finally:
            self._busy_seconds.inc(perf_counter() - started)
            for chunk in begun:
                self._tracker.leave(chunk.span)

    async def _step_all(self, chunks: Sequence[Chunk]) -> list[tuple[Work, Result]]:
        """Decode chunks, one a partition, in one go, and step them."""
        works = self._decode(chunks)
        if len(works) == 1:
            return [await self._step(chunks, works[0])]
        return [await self._step([chunk], work) for chunk, work in zip(chunks, works, strict=True)]

    def _decode(self, chunks: Sequence[Chunk]) -> list[Work]:
        return self._stepper.decode_all([(chunk.tp.partition, chunk.records) for chunk in chunks])

    async def _step(self, chunks: Sequence[Chunk], work: Work) -> tuple[Work, Result]:
        """One step over a work: of one partition, or of several of a raw topic, whose states keep nothing."""
        held = [await self.store.at(chunk.tp.partition, chunk.span.first) for chunk in chunks]
        records = chunks[0].records
        if work.controls:
            await asyncio.get_running_loop().run_in_executor(None, self._stepper.prepare, work)
        try:
            work = self._stepper.admit(held[0], records, work)
            started = perf_counter()
            result = self._stepper.step(held[0], work)
            self._observe(work.batch, result, perf_counter() - started)
        except (DwcpError, MemoryError):
            raise
        except Exception:
            _log.exception("%s: the step failed; trying its records one by one", self._where(chunks))
            self._metrics.step_failures.labels(self.agent.name).inc()
            held = [await self.store.rewind(chunk.tp.partition, chunk.span.first) for chunk in chunks]
            work = self._stepper.admit(held[0], records, self._decode(chunks)[0])
            result = self._stepper.step_each(held[0], work)
        for one, chunk in zip(held, chunks, strict=True):
            one.next_offset = chunk.span.end
        self._redelivered.inc(work.redelivered)
        return work, result

    def _observe(self, batch: Batch, result: Result, elapsed_s: float) -> None:
        self._step_seconds.observe(elapsed_s)
        self._batch_records.observe(len(batch))
        forecasts = result.outputs.get(NETWORK_FORECAST)
        if forecasts is not None and len(forecasts.row):
            self._metrics.pba_predictions.inc(len(forecasts.row))
            self._metrics.pba_latency_ms.observe(1000 * elapsed_s / len(forecasts.row))

    def _count(self, chunks: Sequence[Chunk]) -> None:
        now, strangers = time(), 0
        for chunk in chunks:
            records = chunk.records
            self._record_age.observe(max(0.0, now - records[0].timestamp / 1000))
            self._metrics.newest_ms[chunk.tp] = records[-1].timestamp
            strangers += self._homes.strangers((r.key for r in records), chunk.tp.partition)
        self._events_in.inc(sum(map(len, chunks)))
        self._misrouted.inc(strangers)

    def _where(self, chunks: Sequence[Chunk]) -> str:
        return f"agent {self.agent.name}, {', '.join(map(repr, chunks))}"
