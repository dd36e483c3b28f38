"""Ingest: validate what producers sent, convert it to canonical units, re-key it.

Producers' partitioning is not trusted: canonical records go to keyed topics,
partitioned by murmur2 of the link or node, so that a key's records meet its state.
"""

from __future__ import annotations

from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.topic import COMPRESSION_KEYED, COMPRESSION_RAW, NETWORK_KEYED, NETWORK_RAW, SYSTEM_KEYED, SYSTEM_RAW
from streams.agent import declare

agents = (
    declare("network-ingest", source=NETWORK_RAW, state=NetworkIngest, publishes=(NETWORK_KEYED,)),
    declare("compression-ingest", source=COMPRESSION_RAW, state=CompressionIngest, publishes=(COMPRESSION_KEYED,)),
    declare("system-ingest", source=SYSTEM_RAW, state=SystemIngest, publishes=(SYSTEM_KEYED,)),
)
