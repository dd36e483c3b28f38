"""The job on Quix Streams: `python tests/bench/peers/quix.py`, in a virtual environment of its own."""

from __future__ import annotations

import os

from quixstreams import Application

from tests.bench.peers.job import Links


def main() -> None:
    """Run until stopped."""
    app = Application(
        broker_address=os.environ["PEER_BROKER"], consumer_group="quix-" + os.environ["PEER_GROUP"],
        auto_offset_reset="earliest", auto_create_topics=False, loglevel="WARNING",
    )  # fmt: skip
    source = app.topic(os.environ["PEER_FROM"], value_deserializer="json", key_deserializer="bytes")
    target = app.topic(os.environ["PEER_TO"], value_serializer="json", key_serializer="bytes")
    links = Links()
    app.dataframe(source).apply(links.answer).to_topic(target)
    app.run()


if __name__ == "__main__":
    main()
