"""One of several who announce at the same moment: `python -m tests.streams.model.racer WHO TIMES GATE`.

Makes a version of its own champion again and again, each time by what the registry says then. Prints how often it
was told that somebody else was quicker.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from schemas.error import ConflictError
from streams.model import stage as stages
from streams.model.announcer import change_registry, revisions_of, write_registry
from streams.model.registry import read_registry
from streams.model.stage import By
from streams.settings import Settings
from tests.streams.model.test_stage import NAME, candidate


def main(who: str, times: int, gate: Path) -> None:
    """Announce a version for each time, and crown it."""
    settings = Settings.from_environment()
    read_registry(settings)
    (gate / who).touch()
    while not (gate / "go").exists():
        time.sleep(0.01)
    conflicts = 0
    for k in range(times):
        version = f"{who}-{k}"
        change_registry(settings, lambda known, v=version: [candidate(v)], tries=100)
        while True:
            known = read_registry(settings)
            by = By(who, time.time_ns() // 1_000_000, "it is my turn")
            said = stages.promote(known.catalogue, NAME, version, "champion", by, force=True)
            try:
                write_registry(settings, said, revisions_of(known, NAME))
                break
            except ConflictError:
                conflicts += 1
    print(conflicts)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
