"""Where compiled kernels are cached: one folder per state of the sources that they are made of.

Numba checks only the file of the function it compiles, not those of the functions that
one calls, so after an update a kernel could go on running its old callees, and old constants.
A folder named by a digest of all sources that kernels take from cannot be stale.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numba

from schemas.error import ConfigError

_ROOM_BYTES = 16 << 20
_PROJECT = Path(__file__).parent.parent
_SOURCES = (_PROJECT / "schemas", _PROJECT / "online_models")


@cache
def source_digest(rooms: Sequence[Path] = _SOURCES) -> str:
    """Digest of every module of these packages and the packages in them, 16 hex digits."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted(room.rglob("*.py")):
            digest.update(path.relative_to(room.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def isolate() -> Path:
    """Point numba at the folder of these sources; call before any kernel is defined, as often as you like.

    Under `NUMBA_CACHE_DIR` where that is set, else `XDG_CACHE_HOME` or `~/.cache`; in the
    temporary folder or in memory when what came before is read-only or full.

    Raises
    ------
    ConfigError
        When there is room nowhere.
    """
    digest = source_digest()
    if str(numba.config.CACHE_DIR).endswith(digest):
        return Path(numba.config.CACHE_DIR)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = Path(numba.config.CACHE_DIR or home / "dwcp" / "kernel") / digest
    spare = f"dwcp-kernel-{os.getuid()}-{digest}"
    for folder in (own, Path(tempfile.gettempdir()) / spare, Path("/dev/shm") / spare):
        if _has_room(folder):
            numba.config.CACHE_DIR = str(folder)
            return folder
    allowed = f"a folder that can be written, with {_ROOM_BYTES >> 20} MiB free, for compiled kernels"
    raise ConfigError("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR", ""), allowed)


def _has_room(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):  # filled before: what is missing is little
            return os.access(folder, os.W_OK)
        with tempfile.TemporaryFile(dir=folder) as probe:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(probe.fileno(), 0, _ROOM_BYTES)
    except OSError:
        return False
    return True
