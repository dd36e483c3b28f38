"""`dwcp capacity allocate`: how much of what a node needs to keep its latency."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.capacity import allocation
from offline.capacity.allocation import CONFIDENT, Allocation, Request
from offline.capacity.resource import Resource, read_settings
from offline.capacity.source import Source, chosen, source_options
from offline.series import Series
from schemas.capacity import THRESHOLDS
from schemas.error import ConfigError
from streams.settings import Settings


@click.command()
@source_options
@click.option("--latency", metavar="COLUMN", default="latency_mean", show_default=True, help="Latency column, ms.")
@click.option("--value", "values", multiple=True, metavar="COLUMN[=RESOURCE]",
              help="Column of a resource, again for more; by default columns that resources are known by.")  # fmt: skip
@click.option("--objective", type=click.FloatRange(0.0, min_open=True), default=THRESHOLDS["latency"][0],
              show_default=True, help="What mean latency should keep when the node is busy, ms.")  # fmt: skip
@click.option("--budget", type=click.FloatRange(0.0, min_open=True), help="What the allocation may cost at most.")
@click.option("--load", type=click.FloatRange(0.0, min_open=True), default=100.0, show_default=True,
              help="Load to allocate for, % of what was measured.")  # fmt: skip
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path),
              help="TOML file of resources, sizes and unit costs; as of `dwcp capacity forecast`.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the resamples.")
@click.option("--publish", is_flag=True,
              help="Publish the answer, with the node's newest prediction, on their topic.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def allocate(
    source: Source,
    time: str | None,
    latency: str,
    values: Sequence[str],
    objective: float,
    budget: float | None,
    load: float,
    config: Path | None,
    seed: int,
    publish: bool,
    as_json: bool,
) -> None:
    """Say how much of each resource keeps the latency of a node, and what that costs.

    How latency follows utilisation is fitted to what was measured (a line or a queue, whichever predicts parts
    of the series better that it was not fitted to), so utilisation must have varied; some weeks of hours do.
    Where it does not explain latency there are no numbers, but the reason. An allocation is in percent of what
    there is now, for the load of the busiest 5 % of the time, within the utilisations that were seen and below the
    level that warns; it is the cheapest with which 95 % of the resamples keep the objective, and confidence is
    the share that do. It is what was observed, not an experiment: what grows with load by itself is taken for
    the resource's doing.

    \b
    A node on the broker:      dwcp capacity allocate --from-topics --node node-1 --objective 150
    For half as much again:    dwcp capacity allocate --csv node-1.csv --objective 150 --load 150
    For a program:             dwcp capacity allocate --csv node-1.csv --json | jq .optimal_allocation
    On the topic:              dwcp capacity allocate --from-topics --node node-1 --publish

    \b
    A --config file, for cost and --budget:
      [resource.cpu]
      size = 16             # cores that the node has
      unit_cost = 50        # of one of them
    """
    settings, known = read_settings(config)
    if publish and (not source.from_topics or len(source.nodes) != 1):
        raise ConfigError("--publish", ", ".join(source.nodes), "with --from-topics and one --node")
    columns = [value.rpartition("=")[0] or value for value in values]
    series = source.read(time, [*columns, latency] if columns else [])
    measured, used = _measured(series, latency, values, known)
    resources = {name: known[name] for name in used}
    if budget is not None and (sizeless := [name for name, one in resources.items() if not one.size]):
        raise ConfigError("--budget", str(budget), f"with the sizes of {', '.join(sizeless)} under [resource.NAME] in "
                          "--config, or without these by --value")  # fmt: skip
    request = Request(source.scope, objective, budget, load, settings.cost_unit)
    found = allocation.allocate(request, int(series.time_ms[-1]), measured, used, resources, seed)
    if publish:
        from offline.capacity.allocation_topic import publish_allocation

        record = publish_allocation(Settings.from_environment(), source.nodes[0], found, clock.time_ns() // 1_000_000)
        click.echo(f"published {record.id}", err=True)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo("\n".join(_lines(found)))


def _measured(
    series: Series, latency: str, values: Sequence[str], known: Mapping[str, Resource]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Latency, and utilisation by resource in percent."""
    if latency not in series.columns:
        raise ConfigError("--latency", latency, f"one of the columns {', '.join(series.columns)}")
    used = {}
    for column, name in chosen(series, values, None, known).items():
        one = known.get(name, Resource())
        if column == latency or one.unit != "percent" or not np.isfinite(series.columns[column]).any():
            continue
        if one.full and one.full > 0:
            used[name] = series.columns[column] * (100.0 / one.full)
        elif values:
            raise ConfigError("--value", column, f"a resource of known size: write `full` under [resource.{name}] in "
                              "--config, what the column shows when all is in use")  # fmt: skip
    if strange := [name for name in used if name not in known]:
        raise ConfigError(
            "--value", ", ".join(strange), f"COLUMN=RESOURCE with one of {', '.join(known)}, or of --config"
        )
    if not used:
        raise ConfigError("--value", ", ".join(values), f"a column of a resource: {', '.join(series.columns)}")
    return series.columns[latency], used


def _lines(found: Allocation) -> list[str]:
    """The answer for people."""
    head = f"{found.scope}: mean latency of {found.latency_objective_ms:g} ms at {found.load_pct:g} % of the load"
    if found.optimal_allocation is None or found.expected_performance is None or found.confidence is None:
        return [head, f"  no answer: {found.reason}"]
    performance, lines = found.expected_performance, [head]
    for name, percent in found.optimal_allocation.items():
        lines.append(f"  {name:<14}{percent:>6.0f} % of what there is, {performance[f'{name}_pct']:.0f} % of that used")
    lines.append("  latency {latency_mean:.1f} ms ({latency_mean_lower:.1f} to {latency_mean_upper:.1f}), "
                 "now {latency_mean_now:.1f}".format(**performance))  # fmt: skip
    cost = "cost unknown: no size" if found.cost_estimate is None else f"cost {found.cost_estimate:g} {found.cost_unit}"
    lines.append(f"  {cost}; confidence {found.confidence:.2f}, asked for {CONFIDENT:g}")
    lines.append(
        f"  a {found.form} explains {100 * (found.r2 or 0.0):.0f} % of latency on unseen parts, {found.rows} rows"
    )
    return [*lines, f"  {found.reason}"] if found.reason else lines
