"""A recording as a sink: for what makes records and has no broker to number them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from schemas.topic import PARTITIONS
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded


class Recording:
    """Writes records as a broker would have numbered them.

    Partitions follow from the key as librdkafka's producers choose them (CRC32);
    records without a key go round.

    Parameters
    ----------
    path
        Where to; `-` is standard output.
    partitions
        Of every topic.
    option
        Name of the option that gave the path, for errors.

    Raises
    ------
    ConfigError
        When the file cannot be created.
    InfraError
        When it cannot be written to the end.
    """

    def __init__(self, path: Path, partitions: int = PARTITIONS, option: str = "--out") -> None:
        self.path = path
        self._file = RecordingFile(path, option)
        self._partitions = partitions
        self._offsets: dict[tuple[str, int], int] = {}
        self._keyless = 0

    def send(
        self, topic_name: str, keys: Sequence[bytes | None], values: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Append records."""
        self._file.write([self._numbered(topic_name, *row) for row in zip(keys, values, timestamps_ms, strict=True)])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def discard(self) -> None:
        """Remove what was written."""
        self._file.discard()

    def _numbered(self, topic: str, key: bytes | None, value: bytes, timestamp_ms: int) -> Recorded:
        if key is None:
            partition = self._keyless % self._partitions
            self._keyless += 1
        else:
            partition = crc32(key) % self._partitions
        offset = self._offsets.get((topic, partition), 0)
        self._offsets[topic, partition] = offset + 1
        return Recorded(topic, partition, offset, timestamp_ms, key, value)
