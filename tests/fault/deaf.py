"""The ingest agents on a consumer that dies without a word: after a while it reads nothing, and says nothing."""

from __future__ import annotations

from time import monotonic
from typing import Any

from agents import ingest
from streams.application import application
from streams.transport import ConsumerThread

_hears = ConsumerThread._take
_BORN = monotonic()


async def _take(self: ConsumerThread, active: Any, timeout_s: float) -> Any:
    found = await _hears(self, active, timeout_s)
    return {} if monotonic() - _BORN > 12 else found


ConsumerThread._take = _take  # type: ignore[method-assign]
app = application(ingest.agents)
