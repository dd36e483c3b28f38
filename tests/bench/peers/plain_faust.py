"""The job with River on Faust as it ships: `python -m faust -A tests.bench.peers.plain_faust worker`."""

from __future__ import annotations

import os
from typing import Any

import faust

from tests.bench.peers.job import Links
from tests.bench.peers.river_job import RiverLink

app = faust.App(
    "plain-" + os.environ["PEER_GROUP"], broker="kafka://" + os.environ["PEER_BROKER"], web_enabled=False,
    topic_disable_leader=True, topic_allow_declare=False, consumer_auto_offset_reset="earliest",
)  # fmt: skip
source = app.topic(os.environ["PEER_FROM"], value_serializer="json", key_type=bytes, key_serializer="raw")
target = app.topic(os.environ["PEER_TO"], value_serializer="json", key_type=bytes, key_serializer="raw")
links = Links(RiverLink)


@app.agent(source)
async def answer(samples: Any) -> None:
    """Answer each sample."""
    async for key, sample in samples.items():
        await target.send(key=key, value=links.answer(sample))
