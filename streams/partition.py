"""Which partition a key belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.partitioner import murmur2


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Partition of a key as Java's, Faust's and our own producers choose it.

    >>> murmur2_partition(b"n1:hub", 8)
    0
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class Homes:
    """Where keys belong, remembered.

    Parameters
    ----------
    partitions
        How many the topic has.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._home: dict[bytes, int] = {}

    def strangers(self, keys: Iterable[bytes | None], partition: int) -> int:
        """How many of the keys belong to another partition; records without a key belong anywhere."""
        if len(self._home) > _REMEMBERED:
            self._home.clear()
        home = self._home
        found = 0
        for key in keys:
            if key is None:
                continue
            at = home.get(key)
            if at is None:
                at = home[key] = murmur2_partition(key, self._partitions)
            found += at != partition
        return found


_REMEMBERED = 1_000_000
