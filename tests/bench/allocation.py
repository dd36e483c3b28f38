"""How well allocations keep their objective on simulated nodes whose law is known."""

from __future__ import annotations

import click
import numpy as np

from offline.capacity.allocation import Request, allocate
from offline.capacity.resource import RESOURCES
from tests.offline.capacity.node import LAWS, measure, wander

RESOURCES_USED = {name: RESOURCES[name] for name in ("cpu", "memory", "storage")}
REQUEST = Request("node", 110.0, None, 130.0, "")


@click.command()
@click.option("--nodes", type=click.IntRange(1), default=200, show_default=True, help="Of each law.")
@click.option("--seed", type=int, default=1000, show_default=True, help="Of the first node.")
def main(nodes: int, seed: int) -> None:
    """Print how often the true latency keeps the objective, lies within the bounds, and no answer is given."""
    for law, latency_at in LAWS.items():
        answers = [allocate(REQUEST, 1, *measure(law, k), RESOURCES_USED) for k in range(seed, seed + nodes)]
        said = [one.expected_performance for one in answers if one.expected_performance is not None]
        truth = [float(latency_at(np.array(one["cpu_pct"]))) for one in said]
        kept = sum(value <= REQUEST.objective_ms for value in truth)
        held = sum(o["latency_mean_lower"] <= v <= o["latency_mean_upper"] for o, v in zip(said, truth, strict=True))
        click.echo(f"{law}: {len(said)} of {nodes} answered, {kept} keep the objective, {held} within the 90 % bounds")
    refused = 0
    for k in range(seed, seed + nodes):
        latency, used = measure("queue", k)
        latency = 100 + 20 * wander(np.random.default_rng(k + 10**6), len(latency), 0.9)
        refused += allocate(REQUEST, 1, latency, used, RESOURCES_USED).optimal_allocation is None
    click.echo(f"latency that follows nothing: {refused} of {nodes} refused")


if __name__ == "__main__":
    main()
