"""Recordings: records as JSON lines, in the shape `kcat -J` prints.

One object per line: `topic, partition, offset, tstype, ts, key, payload, headers`.
`payload` is text where the value is UTF-8, else base64 with
`"payload_encoding": "base64"`. A name ending in `.zst` or `.gz` is compressed.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple, cast
from zlib import crc32

import msgspec
import zstandard
from msgspec import Struct

from schemas.error import ConfigError, InfraError
from schemas.topic import PARTITIONS

_encoder = msgspec.json.Encoder()

_BASE64: Final = "base64"


class _Line(Struct, omit_defaults=True):
    topic: str
    partition: int
    offset: int
    tstype: str | None
    ts: int
    key: str | None
    payload: str | None
    headers: list[str] | None
    payload_encoding: str = ""


class Recorded(NamedTuple):
    """One record read back."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Recording:
    """Writes a recording; a `Sink`.

    Partitions follow from the key as librdkafka's producers choose them (CRC32);
    records without a key go round.

    Raises
    ------
    ConfigError
        When the file cannot be created.
    InfraError
        When it cannot be written to the end.
    """

    def __init__(self, path: Path, partitions: int = PARTITIONS) -> None:
        self.path = path
        self._partitions = partitions
        self._offsets: dict[tuple[str, int], int] = {}
        self._keyless = 0
        try:
            self._file = path.open("wb")
        except OSError as exc:
            raise ConfigError("--out", str(path), f"a file that can be written ({exc.strerror})") from exc
        self._stream = _compressed(self._file, path)

    def send(
        self, topic_name: str, keys: Sequence[bytes | None], values: Sequence[bytes], timestamps_ms: Sequence[int]
    ) -> None:
        """Append records."""
        lines = [self._line(topic_name, *row) for row in zip(keys, values, timestamps_ms, strict=True)]
        try:
            self._stream.write(_encoder.encode_lines(lines))
        except OSError as exc:
            raise InfraError(f"cannot write {self.path}: {exc.strerror}") from exc

    def close(self) -> None:
        """Finish the file."""
        try:
            if self._stream is not self._file:
                self._stream.close()
            self._file.close()
        except OSError as exc:
            raise InfraError(f"cannot finish {self.path}: {exc.strerror}") from exc

    def _line(self, topic: str, key: bytes | None, value: bytes, timestamp_ms: int) -> _Line:
        if key is None:
            partition = self._keyless % self._partitions
            self._keyless += 1
        else:
            partition = crc32(key) % self._partitions
        offset = self._offsets.get((topic, partition), 0)
        self._offsets[topic, partition] = offset + 1
        name = None if key is None else key.decode()
        try:
            return _Line(topic, partition, offset, "create", timestamp_ms, name, value.decode(), [])
        except UnicodeDecodeError:
            text = base64.b64encode(value).decode()
            return _Line(topic, partition, offset, "create", timestamp_ms, name, text, [], _BASE64)


def read_recording(path: Path) -> Iterator[Recorded]:
    """The records of a recording, in order.

    Raises
    ------
    ConfigError
        When the file is not there, or a line of it is not a record.
    """
    decode = msgspec.json.Decoder(_Line).decode
    try:
        with path.open("rb") as file, _decompressed(file, path) as lines:
            for number, text in enumerate(lines, 1):
                try:
                    yield _recorded(decode(text))
                except (msgspec.MsgspecError, binascii.Error) as exc:
                    where = f"{path}:{number}"
                    raise ConfigError("recording", where, f"a JSON line as kcat -J writes ({exc})") from exc
    except (OSError, EOFError, zstandard.ZstdError) as exc:
        raise ConfigError("recording", str(path), f"a readable recording ({exc})") from exc


def _recorded(line: _Line) -> Recorded:
    value = line.payload
    data = None if value is None else value.encode()
    if data is not None and line.payload_encoding == _BASE64:
        data = base64.b64decode(data, validate=True)
    key = None if line.key is None else line.key.encode()
    return Recorded(line.topic, line.partition, line.offset, line.ts, key, data)


def _compressed(file: IO[bytes], path: Path) -> IO[bytes]:
    """A writer by the file's suffix; without times or names inside, so that bytes repeat."""
    if path.suffix == ".zst":
        return cast(IO[bytes], zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False))
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=5, mtime=0))
    return file


def _decompressed(file: IO[bytes], path: Path) -> IO[bytes]:
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(cast(io.RawIOBase, reader), 1 << 20)
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    return file
