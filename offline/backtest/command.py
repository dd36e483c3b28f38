"""`dwcp backtest`: a group whose parts are imported when they are used."""

from __future__ import annotations

import click

from streams.lazy import Entry, LazyGroup

PARTS = {
    "bandwidth": Entry(
        "offline.backtest.bandwidth_command", "bandwidth", "Forecast series, and score what was published."
    ),
    "selector": Entry(
        "offline.backtest.selector_command", "selector", "HDE or AMST: the worker's decisions beside all others."
    ),
    "anomaly": Entry(
        "offline.backtest.anomaly_command", "anomaly", "Find anomalies in series, beside labels if there are any."
    ),
    "drift": Entry(
        "offline.backtest.drift_command", "drift", "Find changes in series, beside known dates if there are any."
    ),
    "capacity": Entry(
        "offline.backtest.capacity_command", "capacity", "Forecast series weeks ahead, beside simple methods."
    ),
    "performance": Entry(
        "offline.backtest.performance_command", "performance", "Predict breaches of an objective in series."
    ),
}


class PartGroup(LazyGroup):
    """The parts."""

    entries = PARTS


@click.group(cls=PartGroup)
def backtest() -> None:
    """Stream CSV files through the online models, as a worker would, and score the answers.

    Nothing is known beforehand: a model sees a value only after it was asked about it.
    """
