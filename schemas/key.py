"""Kafka keys of links and nodes.

A link's key is `node_id:peer_id`. Within an id `:` and `%` are percent-encoded, in the
key only, so that no two links have one key; an id without them is in the key as it is.
"""

from __future__ import annotations

from collections.abc import Sequence


def key_of(*ids: str) -> bytes:
    """The key of a node, or of a link from a node to a peer.

    >>> key_of("host-1", "host-2"), key_of("10.0.0.1:7946", "b")
    (b'host-1:host-2', b'10.0.0.1%3A7946:b')
    """
    return ":".join(i.replace("%", "%25").replace(":", "%3A") for i in ids).encode()


def keys_of(*ids: Sequence[str]) -> list[bytes]:
    """`key_of` of every row of equally long columns of ids."""
    keys = list(map(":".join, zip(*ids, strict=True)))
    text = "".join(keys)
    if "%" in text or text.count(":") != (len(ids) - 1) * len(keys):
        return [key_of(*row) for row in zip(*ids, strict=True)]
    return list(map(str.encode, keys))
