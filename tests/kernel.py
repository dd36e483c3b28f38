"""Kernels compiled once, two processes sharing the work, before test processes side by side compile the same each.

As a program, `python -m tests.kernel network compression`, it compiles those of these modules of `agents`.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from schemas import kernel_cache
from streams.worker import warm

SHARES: Final = (("system", "side"), ("network", "compression", "ingest"))
"""Modules of `agents`; the halves take about as long."""


def compile_all() -> None:
    """Compile, unless these sources were before: then little is missing, and whoever needs it does it."""
    if any(kernel_cache.isolate().iterdir()):
        return
    root = Path(__file__).parent.parent
    shares = [subprocess.Popen([sys.executable, "-m", "tests.kernel", *names], cwd=root) for names in SHARES]
    assert [share.wait() for share in shares] == [0] * len(shares)


def main(*names: str) -> None:
    """Compile those of some modules."""
    modules = [import_module(f"agents.{name}") for name in names]
    warm(agent for module in modules for agent in getattr(module, "agents", None) or (module.agent,))


if __name__ == "__main__":
    main(*sys.argv[1:])
