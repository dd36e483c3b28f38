"""How an Avro value says which schema it was written with.

- **Single object** (Avro specification, "Single-object encoding"): `C3 01`, then the
  CRC-64-AVRO fingerprint of the schema's parsing canonical form, little endian.
- **Confluent**: `00`, then the schema's id in a registry, 4 bytes, big endian.

No JSON text begins with either.
"""

from __future__ import annotations

from typing import Any, Final

SINGLE_OBJECT: Final = b"\xc3\x01"
CONFLUENT: Final = 0
SINGLE_OBJECT_BYTES: Final = 10
CONFLUENT_BYTES: Final = 5


def fingerprint_of(schema: Any) -> bytes:
    """CRC-64-AVRO of a schema's parsing canonical form, 8 bytes, little endian.

    >>> fingerprint_of("null").hex()
    '8a8f25cce724dd63'
    """
    from fastavro.schema import fingerprint, to_parsing_canonical_form

    # fastavro prints the number's bytes in the order of the wire.
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def single_object_prefix(schema: Any) -> bytes:
    """What goes before a value in single-object framing."""
    return SINGLE_OBJECT + fingerprint_of(schema)


def confluent_prefix(schema_id: int) -> bytes:
    """What goes before a value in Confluent framing.

    >>> confluent_prefix(258)
    b'\\x00\\x00\\x00\\x01\\x02'
    """
    return bytes([CONFLUENT]) + schema_id.to_bytes(4, "big")
