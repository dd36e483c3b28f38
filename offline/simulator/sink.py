"""Where records go: the interface, and the sink that only counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Sink(Protocol):
    """Takes records; `streams.sink.KafkaSink` and `streams.recording.sink.Recording` are two."""

    def send(
        self, topic_name: str, keys: Sequence[bytes | None], values: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Take records of one topic, in order; equal lengths."""

    def close(self) -> None:
        """Return when all of them are where they should be."""


class NullSink:
    """Takes records and drops them: for measuring the generator alone."""

    def send(
        self, topic_name: str, keys: Sequence[bytes | None], values: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Drop them."""

    def close(self) -> None:
        """Nothing to wait for."""
