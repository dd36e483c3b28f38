"""The ingest agents on a consumer with a bug: one of its background tasks fails after a while."""

from __future__ import annotations

from time import monotonic

from agents import ingest
from streams.application import application
from streams.transport import Consumer

_BORN = monotonic()


async def _verify(self: Consumer) -> None:
    assert monotonic() - _BORN < 8, "a bug"


Consumer.verify_all_partitions_active = _verify  # type: ignore[method-assign]
app = application(ingest.agents)
