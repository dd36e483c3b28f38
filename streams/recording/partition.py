"""Which partition a key belongs to."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Partition of a key as Java's, Faust's and our own producers choose it.

    >>> murmur2_partition(b"n1:hub", 8)
    0
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
