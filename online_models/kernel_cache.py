"""Where compiled kernels are cached: one folder per state of this package's sources.

Numba checks only the file of the function it compiles, not those of the functions that
one calls, so after an update a kernel could go on running its old callees. A folder
named by a digest of all our sources cannot be stale.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numba

from schemas.error import ConfigError

_ROOM_BYTES = 16 << 20


def source_digest(room: Path = Path(__file__).parent) -> str:
    """Digest of every module of this package and the packages in it, 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(room.rglob("*.py")):
        digest.update(path.relative_to(room).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def isolate() -> Path:
    """Point numba at this package's folder; call before any kernel is defined.

    Under `NUMBA_CACHE_DIR` where that is set, else `XDG_CACHE_HOME` or `~/.cache`; in the
    temporary folder or in memory when what came before is read-only or full.

    Raises
    ------
    ConfigError
        When there is room nowhere.
    """
    digest = source_digest()
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
