"""`dwcp train`: a group whose parts are imported when they are used."""

from __future__ import annotations

import click

from streams.lazy import Entry, LazyGroup

PARTS = {
    "optimizer": Entry("offline.training.optimizer_command", "optimizer", "Parameters' settings, from rollouts."),
    "selector": Entry("offline.training.selector_command", "selector", "HDE or AMST, from compression telemetry."),
    "bandwidth": Entry("offline.training.bandwidth_command", "bandwidth", "Links 15 minutes ahead, from samples."),
    "anomaly": Entry("offline.training.anomaly_command", "anomaly", "Isolation forests, from system metrics."),
    "performance": Entry(
        "offline.training.performance_command", "performance", "Breaches of a latency objective, from system metrics."
    ),
}


class PartGroup(LazyGroup):
    """The parts."""

    entries = PARTS


@click.group(cls=PartGroup)
def train() -> None:
    """Train a model on recorded topics, judge it, and write an artifact that workers can load.

    What is judged lies later than what was learned from. A model that misses a gate is written
    with its report, which says by how much, and the exit code is 1.
    """
