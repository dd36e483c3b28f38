"""Publishes what an agent's steps made: records, controls, and rejects of what was bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from schemas.batch import Rejection
from schemas.binary import Binary
from schemas.error import LateRecord, ValidationError
from schemas.header import Headers
from schemas.topic import DEAD_LETTER, LATE, Topic
from streams.agent import Agent
from streams.decision import log_decisions
from streams.envelope import Envelope, control_headers, reject_headers, reject_record
from streams.message import Messages
from streams.metric import Metrics
from streams.publisher import Publish
from streams.round import Round
from streams.settings import Settings
from streams.wire import Wire

_HEADER_OVERHEAD_BYTES: Final = 512


class Outlet:
    """Where the results of one agent go.

    Parameters
    ----------
    agent
        Whose.
    settings
        Topic names and size limits.
    publish
        Hands records to the producer.
    metrics
        What is counted.
    wire
        Codecs of what is published.
    partitions
        How many each topic has, by name; those of the table where it is not said.
    """

    def __init__(
        self,
        agent: Agent,
        settings: Settings,
        publish: Publish,
        metrics: Metrics,
        wire: Wire,
        partitions: Mapping[str, int],
    ) -> None:
        self._agent = agent
        self._settings = settings
        self._publish = publish
        self._metrics = metrics
        self._wire = wire
        self._partitions = partitions
        self._envelopes = {t: Envelope(t, agent.name, wire.codec(t)) for t in agent.publishes}

    async def take(self, made: Round, traced: Sequence[Headers] | None) -> None:
        """Publish all that a round made; it is in the producer's queue when this returns.

        Parameters
        ----------
        made
            The round.
        traced
            Trace headers of each record, or None.
        """
        trace = None if traced is None else [traced[r] for r in made.row.tolist()]
        oversized = await self._publish_outputs(made, trace)
        await self._publish_broadcasts(made, trace)
        await self._publish_rejects(made, made.rejected + oversized)

    def partitions_of(self, topic: Topic) -> int:
        """How many partitions a topic has."""
        return self._partitions.get(self._settings.name_of(topic), topic.partitions)

    async def _publish_outputs(self, made: Round, trace: Sequence[Headers] | None) -> list[Rejection]:
        """Publish the outputs; what is too large for the broker becomes a reject of its input."""
        oversized: list[Rejection] = []
        limit = self._settings.output_max_bytes - _HEADER_OVERHEAD_BYTES
        origin, key = Binary.of(made.origins), Binary.of(made.keys)
        for topic, output in made.result.outputs.items():
            if not len(output.row):
                continue
            messages = self._envelopes[topic].encode(output, origin, key, trace)
            size = messages.value.size
            if size.max() > limit:
                for i in np.flatnonzero(size > limit).tolist():
                    message = f"its {topic.kind} record has {size[i]} bytes, {limit} are allowed"
                    oversized.append(Rejection(int(made.row[output.row[i]]), ValidationError("oversized", message)))
                messages = messages.take(np.flatnonzero(size <= limit))
            name = self._settings.name_of(topic)
            await self._publish(name, messages)
            log_decisions(topic, self._wire.codec(topic), messages)
            self._metrics.events_out.labels(name).inc(len(messages))
        return oversized

    async def _publish_broadcasts(self, made: Round, trace: Sequence[Headers] | None) -> None:
        """Publish controls, each to every partition of its topic."""
        for one in made.result.broadcasts:
            name = self._settings.name_of(one.topic)
            headers = control_headers(one, made.origins[one.row], self._agent.name, trace[one.row] if trace else ())
            for partition in range(self.partitions_of(one.topic)):
                await self._publish(name, Messages.of([None], [None], [headers]), partition=partition)

    async def _publish_rejects(self, made: Round, rejected: Sequence[Rejection]) -> None:
        for topic, late in ((DEAD_LETTER, False), (LATE, True)):
            chosen = [r for r in rejected if isinstance(r.error, LateRecord) == late]
            if not chosen:
                continue
            records = [made.records[r.row] for r in chosen]
            headers = [
                reject_headers(record, made.origin[r.row], r.error, self._agent.name, *made.tp_of(r.row))
                for record, r in zip(records, chosen, strict=True)
            ]
            name = self._settings.name_of(topic)
            limit = 2 * self._settings.output_max_bytes
            sent = [reject_record(record, own, limit) for record, own in zip(records, headers, strict=True)]
            await self._publish(name, Messages.of(*zip(*sent, strict=True)))
            self._metrics.events_out.labels(name).inc(len(chosen))
            if late:
                self._metrics.late.labels(self._agent.name).inc(len(chosen))
                continue
            for r in chosen:
                self._metrics.dead_letters.labels(self._agent.name, r.error.reason).inc()
