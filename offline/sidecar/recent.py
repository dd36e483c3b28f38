"""Which records came lately: a worker that was killed sends its last ones again, with the same ids."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

KEPT: Final = 100_000
"""Records remembered per topic: more than a worker sends again, which is what it had not committed."""

_BYTES: Final = 8


class Recent:
    """Digests of the latest ids, oldest first.

    Parameters
    ----------
    captured
        What `capture` gave.
    kept
        How many.
    """

    def __init__(self, captured: bytes = b"", kept: int = KEPT) -> None:
        self._kept = kept
        self._known = dict.fromkeys(captured[at : at + _BYTES] for at in range(0, len(captured), _BYTES))

    def is_new(self, identity: bytes) -> bool:
        """Whether an id is not among the latest; it is from now on."""
        digest = blake2b(identity, digest_size=_BYTES).digest()
        if digest in self._known:
            return False
        self._known[digest] = None
        if len(self._known) > self._kept:
            del self._known[next(iter(self._known))]
        return True

    def capture(self) -> bytes:
        """Everything, for a restart."""
        return b"".join(self._known)
