"""HDE's encoder as far as its cost matters: block delta against a baseline, then zstd.

The payload is cut into blocks. A block that the previous version holds, anywhere, is
sent as its number; the others are compressed by zstd with the previous version as
dictionary. `decode` restores the payload, so a ratio is never better than the truth.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final, NamedTuple

import zstandard

BLOCK_BYTES: Final = 4096

_HEADER: Final = struct.Struct("<II")
_MISS: Final = 0xFFFFFFFF


class Encoded(NamedTuple):
    """An encoded payload.

    Parameters
    ----------
    data
        What would be sent.
    hit_rate
        Blocks found in the baseline, % of all blocks.
    """

    data: bytes
    hit_rate: float


def _digest(block: bytes) -> bytes:
    return blake2b(block, digest_size=16).digest()


def _blocks(payload: bytes) -> list[bytes]:
    return [payload[i : i + BLOCK_BYTES] for i in range(0, len(payload), BLOCK_BYTES)]


def _dictionary(previous: bytes) -> zstandard.ZstdCompressionDict | None:
    if not previous:
        return None
    return zstandard.ZstdCompressionDict(previous, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def encode(payload: bytes, previous: bytes, level: int) -> Encoded:
    """Encode a payload against its previous version; `previous` is empty without one."""
    known = {_digest(block): number for number, block in enumerate(_blocks(previous))}
    references = []
    misses = []
    blocks = _blocks(payload)
    for block in blocks:
        number = known.get(_digest(block), _MISS) if known else _MISS
        references.append(number)
        if number == _MISS:
            misses.append(block)
    table = zstandard.compress(struct.pack(f"<{len(references)}I", *references), 1)
    body = zstandard.ZstdCompressor(level=level, dict_data=_dictionary(previous)).compress(b"".join(misses))
    head = _HEADER.pack(len(references), len(table))
    return Encoded(head + table + body, 100.0 * (1 - len(misses) / max(len(blocks), 1)))


def decode(data: bytes, previous: bytes) -> bytes:
    """Restore a payload from what `encode` made of it and the same previous version."""
    count, table_bytes = _HEADER.unpack_from(data)
    body_at = _HEADER.size + table_bytes
    references = struct.unpack(f"<{count}I", zstandard.decompress(data[_HEADER.size : body_at]))
    misses = zstandard.ZstdDecompressor(dict_data=_dictionary(previous)).decompress(data[body_at:])
    known = _blocks(previous)
    parts = []
    at = 0
    for number in references:
        if number == _MISS:
            parts.append(misses[at : at + BLOCK_BYTES])
            at += BLOCK_BYTES
        else:
            parts.append(known[number])
    return b"".join(parts)
