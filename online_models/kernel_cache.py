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


def source_digest() -> str:
    """Digest of every module of this package, 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def isolate() -> Path:
    """Point numba at this package's folder; call before any kernel is defined.

    Under `NUMBA_CACHE_DIR` where that is set, else `XDG_CACHE_HOME` or `~/.cache`, else the
    temporary folder when none of these can be written.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(numba.config.CACHE_DIR or home / "dwcp" / "kernel")
    try:
        folder = base / source_digest()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"dwcp-kernel-{os.getuid()}-{source_digest()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    numba.config.CACHE_DIR = str(folder)
    return folder
