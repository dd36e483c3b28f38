"""Processor time of a round of small batches: what a worker that is not busy does with one poll of every topic.

Of every topic a few records on each of its partitions go together through the worker's own runner: decode, steps,
encoding, everything but Faust, the client and the broker; what would be published is dropped. Times are the loop's
thread's own, so that others on the machine do not count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

from faust.types import TP

from schemas.topic import INPUTS, TOPICS, Topic
from streams.agent import Agent
from streams.changelog import Record
from streams.chunk import Chunk
from streams.metric import Metrics
from streams.offset import OffsetTracker
from streams.runner import Runner
from streams.settings import Settings
from streams.stepper import Stepper
from streams.store import StateStore
from streams.wire import Wire

_WARM: Final = 20
"""Rounds at most before the clock counts: most links are new in the first ones."""


def run(
    given: Mapping[Topic, Sequence[Record]], agents: Sequence[Agent], records: int, partitions: int,
    rounds: int = 200, seconds: float = 10.0,
) -> dict[str, Any]:  # fmt: skip
    """Processor time of a round, by agent and of all together.

    Parameters
    ----------
    given
        Records by the agents' topics.
    agents
        Which; those of a topic without records are left out.
    records
        On each partition.
    partitions
        Of each topic.
    rounds, seconds
        How many rounds are counted at most, of each agent, and for how long by the clock.
    """
    found = {a.name: asyncio.run(_Rounds(a, given[a.source], records, partitions).run(rounds, seconds)) for a in agents}
    total = sum(one["ms_per_round"] for one in found.values())
    taken = sum(one["records_per_round"] for one in found.values())
    return {
        "records": records, "partitions": partitions, "ms_per_round": round(total, 3),
        "us_per_record": round(1e3 * total / taken, 2), "agents": found,
    }  # fmt: skip


class _Rounds:
    """One agent and what waits for it."""

    def __init__(self, agent: Agent, given: Sequence[Record], records: int, partitions: int) -> None:
        settings = Settings.from_environment({})
        self._topic = settings.name_of(agent.source)
        self._tracker: OffsetTracker[TP] = OffsetTracker()
        self._records = records
        stepper, metrics = Stepper(agent, self._topic), Metrics()
        store = StateStore(stepper, settings, None, _drop, _drop, metrics)
        counts = {settings.name_of(topic): partitions for topic in TOPICS}
        self._runner = Runner(stepper, store, settings, self._tracker, _drop, metrics, Wire(settings), counts)
        self._lanes: list[list[Record]] = [[] for _ in range(partitions)]
        dealt: dict[bytes | None, int] = {}  # links and nodes in turn: hashed, a partition might have none of few
        for i, record in enumerate(given):
            turn = i if agent.source in INPUTS else dealt.setdefault(record.key, len(dealt))
            lane = self._lanes[turn % partitions]
            lane.append(record._replace(offset=len(lane)))
        self._at = [0] * partitions

    async def run(self, rounds: int, seconds: float) -> dict[str, Any]:
        """Until rounds, time or records are over."""
        spent, taken, done = 0.0, 0, 0
        warm = min(_WARM, min(map(len, self._lanes)) // self._records // 3)
        end = time.monotonic() + seconds
        for n in count():
            chunks = self._next()
            if len(chunks) < len(self._lanes) or done >= rounds or (time.monotonic() > end and done):
                break
            began = time.thread_time()
            await self._runner.process(chunks)
            if n >= warm:
                spent += time.thread_time() - began
                taken += sum(map(len, chunks))
                done += 1
        assert done, "the records were over before it could be measured: give more --records"
        return {
            "rounds": done, "records_per_round": round(taken / done, 1), "ms_per_round": round(1e3 * spent / done, 3),
            "us_per_record": round(1e6 * spent / taken, 2),
        }  # fmt: skip

    def _next(self) -> list[Chunk]:
        """The next records of every partition that has so many left."""
        chunks = []
        for p, lane in enumerate(self._lanes):
            at = self._at[p]
            some = lane[at : at + self._records]
            if len(some) == self._records:
                tp = TP(self._topic, p)
                chunks.append(Chunk(tp, some, self._tracker.register(tp, at, at + len(some))))
                self._at[p] += len(some)
        return chunks


async def _drop(*_: Any, **__: Any) -> None:
    """Publish to nobody."""
