"""The one form of a recording: JSON lines, in the shape `kcat -J` prints.

One object per line: `topic, partition, offset, tstype, ts, key, payload, headers`,
headers as a flat list of names and values. Text stands as it is; what is not UTF-8
is base64, and `key_encoding`, `payload_encoding` or `headers_encoding` say so.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

Header = tuple[str, bytes | None]

_BASE64: Final = "base64"


class Recorded(NamedTuple):
    """One record: as it was on a broker, or as it would be."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    timestamp_type: str | None = "create"

    @property
    def timestamp(self) -> int:
        """The same as `timestamp_ms`, by the name that Kafka clients' records have."""
        return self.timestamp_ms


class _Line(Struct, omit_defaults=True):
    # The last four have defaults: kcat leaves out headers that are not there and knows no encodings.
    topic: str
    partition: int
    offset: int
    tstype: str | None
    ts: int
    key: str | None
    payload: str | None
    headers: list[str | None] | None = None
    key_encoding: str = ""
    payload_encoding: str = ""
    headers_encoding: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


def encode(records: Iterable[Recorded]) -> bytes:
    r"""Lines of records, each ending in a newline.

    >>> encode([Recorded("t", 0, 7, 1000, None, b"\xff")])
    b'{"topic":"t","partition":0,"offset":7,"tstype":"create","ts":1000,"key":null,"payload":"/w==","headers":[],"payload_encoding":"base64"}\n'
    """
    return _encoder.encode_lines([_line(record) for record in records])


def decode(line: bytes) -> Recorded:
    """The record of one line.

    Raises
    ------
    ValueError
        When it is not one, saying what is wrong with it.
    """
    try:
        parsed = _decoder.decode(line)
        flat = parsed.headers or []
        if len(flat) % 2:
            raise ValueError("headers are names and values in turn; the last value is missing")
        names = [name or "" for name in flat[::2]]
        values = [_bytes(value, parsed.headers_encoding) for value in flat[1::2]]
        return Recorded(
            parsed.topic, parsed.partition, parsed.offset, parsed.ts,
            _bytes(parsed.key, parsed.key_encoding), _bytes(parsed.payload, parsed.payload_encoding),
            tuple(zip(names, values, strict=True)), parsed.tstype,
        )  # fmt: skip
    except (msgspec.MsgspecError, binascii.Error) as exc:
        raise ValueError(str(exc)) from exc


def _line(record: Recorded) -> _Line:
    key, key_encoding = _text(record.key)
    payload, payload_encoding = _text(record.value)
    headers: list[str | None] = []
    headers_encoding = ""
    if record.headers:
        headers, headers_encoding = _flat(record.headers)
    return _Line(
        record.topic, record.partition, record.offset, record.timestamp_type, record.timestamp_ms,
        key, payload, headers, key_encoding, payload_encoding, headers_encoding,
    )  # fmt: skip


def _flat(headers: tuple[Header, ...]) -> tuple[list[str | None], str]:
    try:
        return [part for name, value in headers for part in (name, None if value is None else value.decode())], ""
    except UnicodeDecodeError:
        return [part for name, value in headers for part in (name, _base64(value))], _BASE64


def _text(data: bytes | None) -> tuple[str | None, str]:
    try:
        return None if data is None else data.decode(), ""
    except UnicodeDecodeError:
        return _base64(data), _BASE64


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None, encoding: str) -> bytes | None:
    if text is None:
        return None
    if encoding == _BASE64:
        return base64.b64decode(text, validate=True)
    if encoding:
        raise ValueError(f"encoding {encoding!r} is not known; there is base64")
    return text.encode()
