"""What chances of reaching a level said of public series, and how often it came true.

    python -m tests.bench.crossing DATA --json

The series and parts of `tests/bench/outlook.py`, from points in their last half. No series has a critical level of its
own, so six are asked of each: the median of its last 60 days plus .6 to 1.6 times the way to their highest hour, and
the level that 1 % of their hours were above. Every series weighs alike.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.backtest.capacity import SHARE, origins_of
from offline.capacity.blend import look_ahead, sound_horizon
from offline.capacity.history import DAY_MS, History
from offline.capacity.path import reached_by, simulate
from tests.bench.outlook import ASKED_DAYS, PARTS, part_of, series_in

ORIGINS: Final = 6
OF_THE_WAY: Final = (0.6, 0.8, 1.0, 1.25, 1.6)
BANDS: Final = ((0.0, 0.05), (0.05, 0.25), (0.25, 0.75), (0.75, 0.95), (0.95, 1.01))
_RECENT: Final = 60


def levels_of(past: NDArray[np.float64]) -> list[float]:
    """Levels to ask for, of values with gaps."""
    known = past[np.isfinite(past)]
    middle, top = float(np.median(known)), float(known.max())
    return [*(middle + share * (top - middle) for share in OF_THE_WAY), float(np.quantile(known, 0.99))]


def ask(history: History) -> tuple[list[float], list[bool]]:
    """Chances that levels are reached within the horizon, and whether they were; none where nothing ever changed."""
    horizon = sound_horizon(history, ASKED_DAYS * DAY_MS, SHARE)
    said, was = [], []
    for origin in origins_of(history, horizon, ORIGINS):
        end = len(history) - (history.blocks - int(origin)) * history.per_block
        past = history.until(end)
        future = history.value[end : end + horizon * history.per_block]
        recent = past.value[-_RECENT * past.per_block :]
        if not np.isfinite(future).any() or not np.nanmax(recent) > np.nanmin(recent):
            continue
        paths = simulate(look_ahead(past, horizon), bursts=True)
        for level in levels_of(recent):
            said.append(float(reached_by(paths, level)[-1]))
            was.append(bool(np.nanmax(future) >= level))
    return said, was


def summary_of(found: list[tuple[list[float], list[bool]]]) -> dict[str, object]:
    """Said, came true, and share of all that was asked, by band; and Brier's score."""
    said, was, weight = (
        np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
        for parts in zip(*((s, w, np.full(len(s), 1 / len(s))) for s, w in found), strict=True)
    )
    bands = []
    for low, high in BANDS:
        if (here := (said >= low) & (said < high)).any():
            means = [float(np.average(x[here], weights=weight[here])) for x in (said, was)]
            bands.append([*means, float(weight[here].sum() / weight.sum())])
    return {
        "series": len(found),
        "brier": float(np.average((said - was) ** 2, weights=weight)),
        "said_was_share": bands,
    }


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--part", "only", multiple=True, type=click.Choice(PARTS), help="Only these; by default all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(folder: Path, only: tuple[str, ...], as_json: bool) -> None:
    """Ask every series of FOLDER for chances, and count."""
    parts = defaultdict(list)
    for name, history in series_in(folder):
        part = part_of(name, history)
        if only and part not in only:
            continue
        click.echo(name, err=True)
        said, was = ask(history)
        if said:
            parts[part].append((said, was))
    summary = {part: summary_of(found) for part, found in parts.items()}
    if as_json:
        click.echo(msgspec.json.encode(summary))
        return
    for part, one in summary.items():
        click.echo(f"{part}: {msgspec.json.encode(one).decode()}")


if __name__ == "__main__":
    main()
