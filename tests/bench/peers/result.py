"""Results of the peers: kept with the machine and the versions they were measured on, and drawn."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.bench.peers.run import PEERS
from tests.kafka import VERSION

RESULTS: Final = Path(__file__).parent / "results.csv"
_OWN: Final = {"dwcp-streams": "dwcp-streams", "faust": "faust-streaming"}


def save(peers: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a row per processor to `results.csv`."""
    with RESULTS.open(newline="") as file:
        names = next(csv.reader(file))
    machine = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": _processor(), "cores": os.cpu_count(),
        "python": platform.python_version(),
    }  # fmt: skip
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        for name, one in peers.items():
            writer.writerow({**machine, "processor": name, "version": _version(name), **one})


def draw(peers: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Bars of the rates, one per processor.

    Raises
    ------
    SystemExit
        When matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit("dwcp: --plot needs matplotlib: pip install matplotlib") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    names = sorted(peers, key=lambda name: peers[name]["events_per_second"])
    rates = [peers[name]["events_per_second"] for name in names]
    figure, axes = pyplot.subplots(figsize=(7, 0.5 * len(names) + 1.2), layout="constrained")
    axes.bar_label(axes.barh(names, rates, color="#4477aa"), [f" {rate:,}" for rate in rates])
    axes.set_xlabel("events/s of one worker process, the same job and broker")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _version(name: str) -> str:
    if name in _OWN:
        return version(_OWN[name])
    return PEERS[name].needs[0].rpartition("==")[2] if PEERS[name].needs else VERSION


def _processor() -> str:
    """The processor as Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
