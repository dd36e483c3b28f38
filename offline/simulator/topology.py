"""The fleet's shape: which hosts there are, and which links between them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.cycle import REGIONS
from schemas.batch import object_column
from schemas.field import LINK_TYPES

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Names = NDArray[Any]

CANONICAL, INTEGER, ALIAS, SHORT = 0, 1, 2, 3
DIALECTS: Final = (CANONICAL,) * 6 + (INTEGER,) * 2 + (ALIAS, SHORT)
"""How hosts say things: names, Go's integers and epoch ms, aliases, or the short network form.

Of ten hosts in a row six are canonical, two send integers, one aliases, one the short form.
"""

_REGION_NAMES = tuple(REGIONS)


class Topology:
    """Hosts and links.

    Every region has hosts; link types take turns, so each is a quarter of the links.
    A link goes from a host (its node, which sends the telemetry) to a peer: another
    host where one fits, else a site that sends no metrics of its own.

    Parameters
    ----------
    rng
        Source of everything random here.
    links, nodes
        How many of each, at least one.
    """

    def __init__(self, rng: Generator, links: int, nodes: int) -> None:
        self.node_id = object_column([f"node-{i:03d}" for i in range(nodes)])
        self.node_region: I64 = np.arange(nodes) % len(_REGION_NAMES)
        self.node_utc_offset_h: F64 = np.array(list(REGIONS.values()))[self.node_region]
        self.node_dialect: I64 = np.array(DIALECTS)[np.arange(nodes) % len(DIALECTS)]
        index = np.arange(links)
        self.sender: I64 = index % nodes
        # Where the hosts' turn has the types' rhythm, shift it each round: no host has one type only.
        shift = index // nodes if nodes % len(LINK_TYPES) == 0 else 0
        self.link_type: I64 = (index + shift) % len(LINK_TYPES)
        self.network_tier: I64 = rng.integers(1, 4, links)
        self.transport: I64 = rng.choice(3, links, p=[0.7, 0.1, 0.2])
        self.mode: I64 = rng.choice(3, links, p=[0.7, 0.2, 0.1])
        self.link_node = self.node_id[self.sender]
        self.link_peer = object_column(self._peers(rng))
        self.link_region = object_column([_REGION_NAMES[r] for r in self.node_region[self.sender]])
        self.link_az = object_column(
            [f"{r}-{'abc'[s % 3]}" for r, s in zip(self.link_region, self.sender, strict=True)]
        )
        self.link_utc_offset_h: F64 = self.node_utc_offset_h[self.sender]
        self.link_dialect: I64 = self.node_dialect[self.sender]
        self.link_id = [f"{n}:{p}" for n, p in zip(self.link_node, self.link_peer, strict=True)]
        self.link_key = [name.encode() for name in self.link_id]
        self.node_key = [name.encode() for name in self.node_id]

    def _peers(self, rng: Generator) -> list[str]:
        taken: set[tuple[int, str]] = set()
        peers = []
        for link, (sender, type_) in enumerate(zip(self.sender.tolist(), self.link_type.tolist(), strict=True)):
            same_region = self.node_region == self.node_region[sender]
            fits = ~same_region if LINK_TYPES[type_] == "wan" else same_region
            fits = fits & (np.arange(len(fits)) != sender) & (LINK_TYPES[type_] != "edge")
            free = [p for p in self.node_id[fits] if (sender, p) not in taken]
            peer = free[int(rng.integers(len(free)))] if free else f"{LINK_TYPES[type_]}-site-{link:03d}"
            taken.add((sender, peer))
            peers.append(peer)
        return peers
