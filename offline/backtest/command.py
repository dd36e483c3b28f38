"""`dwcp backtest`: a group whose parts are imported when they are used."""

from __future__ import annotations

import click

from streams.lazy import Entry, LazyGroup

PARTS = {
    "bandwidth": Entry(
        "offline.backtest.bandwidth_command", "bandwidth", "Forecast series, and score what was published."
    ),
    "anomaly": Entry(
        "offline.backtest.anomaly_command", "anomaly", "Find anomalies in series, beside labels if there are any."
    ),
    "drift": Entry(
        "offline.backtest.drift_command", "drift", "Find changes in series, beside known dates if there are any."
    ),
}


class PartGroup(LazyGroup):
    """The parts."""

    entries = PARTS


@click.group(cls=PartGroup)
def backtest() -> None:
    """Stream CSV files through the online models, as a worker would, and score the answers.

    Nothing is trained beforehand: a model sees a value only after it was asked about it.
    """
