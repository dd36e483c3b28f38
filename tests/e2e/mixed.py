"""Chunked agents, an ordinary per-event Faust agent, and a Faust table with its changelog, in one worker."""

from __future__ import annotations

from typing import Any

from agents import ingest
from streams.application import application

app = application(ingest.agents)
plain = app.topic("plain", value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
echo = app.topic("echo", value_type=bytes, value_serializer="raw")
counts = app.Table("counts", default=int, partitions=2)


@app.agent(plain)
async def count(events: Any) -> None:
    """Count each key's events, and say how many there were."""
    async for event in events.events():
        key = event.key.decode()
        counts[key] += 1
        await echo.send(value=b"%s %d" % (event.value, counts[key]))
