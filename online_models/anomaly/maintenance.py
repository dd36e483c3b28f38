"""Maintenance windows: times in which a node, or every node, is scored but not alerted."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.slot import row_dtype
from online_models.taken import Key
from schemas.feedback import EVERY_NODE, AnomalyFeedback
from schemas.key import key_of

WINDOWS: Final = 64
"""Windows known at a time; a further one takes the place of the one that ends first."""

WINDOW: Final = row_dtype(("node", "u8"), ("begin", "i8"), ("end", "i8"))
"""`node` is a hash of its key, 0 for every node; a window without length is none."""


class Maintenance:
    """The windows, the same in every partition."""

    def __init__(self) -> None:
        self.windows = np.zeros(WINDOWS, WINDOW)
        self.restored()

    def restored(self) -> None:
        """Find out when the last window ends, after the windows were set: mostly there is none."""
        self._last_end = int(self.windows["end"].max())

    def announce(self, node_id: str, begin_ms: int, end_ms: int) -> None:
        """Hush a node (`*`: every node) in `[begin_ms, end_ms)` of event time; the same one again changes nothing."""
        self.cancel(node_id, begin_ms)
        at = int(np.argmin(self.windows["end"]))
        self.windows[at] = (_hash_of(node_id), begin_ms, end_ms)
        self.restored()

    def cancel(self, node_id: str, begin_ms: int) -> bool:
        """Forget the window of a node that begins at a time; whether there was one."""
        held = self.windows
        same = (held["node"] == _hash_of(node_id)) & (held["begin"] == begin_ms) & (held["end"] > 0)
        held[same] = np.zeros((), WINDOW)
        self.restored()
        return bool(same.any())

    def heed(self, feedback: AnomalyFeedback) -> str:
        """Take a word on maintenance in, which names node and times; what it came to."""
        begin, end = feedback.timestamp, feedback.maintenance_until
        assert begin is not None
        assert end is not None
        if feedback.undo:
            return "maintenance cancelled" if self.cancel(feedback.node_id, begin) else "no such window"
        self.announce(feedback.node_id, begin, end)
        return f"maintenance from {begin} to {end}"

    def hushed_links(
        self, node_id: NDArray[np.object_], peer_id: NDArray[np.object_], time_ms: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each sample falls into a window of either end of its link, `[n]`."""
        if not len(self._near(time_ms)):
            return np.zeros(len(time_ms), np.bool_)
        ends = ([key_of(one) for one in end.tolist()] for end in (node_id, peer_id))
        return np.logical_or(*(self.hushed(keys, time_ms) for keys in ends))

    def hushed(self, keys: Sequence[Key], time_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each record falls into a window of its node, `[n]`."""
        found = np.zeros(len(keys), np.bool_)
        known = self._near(time_ms)
        if not len(known):
            return found
        nodes = np.array([_hash(key or b"") for key in keys], np.uint64)
        for window in known:
            within = (time_ms >= window["begin"]) & (time_ms < window["end"])
            found |= within & ((window["node"] == 0) | (nodes == window["node"]))
        return found

    def _near(self, time_ms: NDArray[np.int64]) -> NDArray[Any]:
        """The windows, unless all are before or after these times."""
        if not self._last_end or time_ms.min() >= self._last_end:
            return self.windows[:0]
        known = self.windows[self.windows["end"] > 0]
        return known[:0] if time_ms.max() < known["begin"].min() else known


def _hash_of(node_id: str) -> int:
    return 0 if node_id == EVERY_NODE else _hash(key_of(node_id))


def _hash(key: bytes) -> int:
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little") or 1
