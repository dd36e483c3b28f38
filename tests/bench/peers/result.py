"""Results of the peers: kept with the machine and the versions they were measured on, told in the README, and drawn."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.bench.peers.run import PEERS, ROOT
from tests.kafka import VERSION

RESULTS: Final = Path(__file__).parent / "results.csv"
README: Final = ROOT / "README.md"
MARKS: Final = ("<!-- peers, from tests/bench/peers/results.csv -->\n", "<!-- end of peers -->\n")
"""Between these the README has the table."""

_NAMES: Final = {
    "kafka-streams": "Kafka Streams",
    "bytewax": "Bytewax",
    "quix": "Quix Streams",
    "faust": "plain Faust, River",
}
_OWN: Final = {"dwcp-streams": "dwcp-streams", "faust": "faust-streaming"}


def save(peers: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a row per processor to `results.csv`, and renew the README's table."""
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
    text = README.read_text()
    README.write_text(text.replace(MARKS[0] + told(text), MARKS[0] + table(newest())))


def newest() -> list[dict[str, str]]:
    """The last row of every processor, the quickest first."""
    with RESULTS.open(newline="") as file:
        last = {row["processor"]: row for row in csv.DictReader(file)}
    return sorted(last.values(), key=lambda row: -float(row["events_per_second"]))


def told(readme: str) -> str:
    """The table that stands in the README."""
    rest = readme.partition(MARKS[0])[2]
    assert rest, f"{README} has no {MARKS[0]}"
    return rest.partition(MARKS[1])[0]


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of `results.csv` as the README shows them."""
    lines = [
        "| | version | events/s | CPU us each | this is, by rate / by CPU | answers that differ | measured |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        ours = not row["ratio"]
        name = "**dwcp-streams**" if ours else _NAMES[row["processor"]]
        ahead = "" if ours else f"{row['ratio']} / {row['cpu_ratio']} x"
        rate, each = int(row["events_per_second"]), float(row["cpu_us_per_event"])
        lines.append(
            f"| {name} | {row['version']} | {rate:,} | {each:g} | {ahead} | {row['differing']} | "
            f"{int(row['records']):,} records, {row['date']} |"
        )
    return "\n".join(lines) + "\n"


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
