"""Work in a process of the lowest priority and one thread: nothing it does slows the stream."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LIMIT_S: Final = 6 * 3600.0
_STOP_S: Final = 3.0
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Child:
    """A Python module that runs.

    Parameters
    ----------
    arguments
        The module and its arguments. Settings of ours are not handed on: topics have their usual names in files.
    log
        Where what it prints goes.
    limit_s
        It is ended when it takes longer.
    """

    def __init__(self, arguments: Sequence[str], log: Path, limit_s: float = LIMIT_S) -> None:
        self.log = log
        self._deadline = time.monotonic() + limit_s
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_")}
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                ["nice", "-n", "19", sys.executable, "-m", *arguments], env={**inherited, **_ONE_THREAD}, stdout=said,
                stderr=said, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def code(self) -> int | None:
        """Its exit code; None while it runs, negative when it was ended."""
        if self._process.poll() is None and time.monotonic() > self._deadline:
            self.stop()
        return self._process.poll()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self, characters: int = 600) -> str:
        """The last line that it printed."""
        said = self.log.read_text(errors="replace").strip().splitlines()
        return said[-1][-characters:] if said else "it said nothing"
