"""`dwcp bench`: figures of the README, each by a command. Runs from a checkout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def _settings(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """A worker's settings by name; those that cannot be end the command as they would end a worker."""
    from streams.settings import Settings

    found = dict(one.partition("=")[::2] for one in given)
    Settings.from_environment(found)
    return found


@click.group()
def bench() -> None:
    """Measure it: what the README's figures come from."""


@bench.command("hot-path")
@click.option("--records", default=20_000, show_default=True, help="Of each input dataset.")
@click.option("--batch", default=1_000, show_default=True, help="Records per step.")
@click.option("--links", default=300, show_default=True, help="Size of the simulated fleet.")
@click.option("--seed", default=1, show_default=True, help="Of the fleet.")
@click.option("--round-records", default=4, show_default=True, help="On each partition, in a round of small batches.")
@click.option("--round-partitions", default=8, show_default=True, help="Of every topic, in such a round.")
@_as_json
def hot_path(
    records: int, batch: int, links: int, seed: int, round_records: int, round_partitions: int, as_json: bool
) -> None:
    """Cost per event by stage of every agent, and of rounds of small batches, in this process."""
    from tests.bench.hot_path import STAGES, run

    found = run(records, batch, links, seed, round_records, round_partitions)
    if as_json:
        _print(found)
        return
    click.echo(f"{'us per event':22}" + "".join(f"{name:>9}" for name in (*STAGES, "all")))
    for name, one in found["agents"].items():
        cells = "".join(f"{one[stage]:9.2f}" for stage in (*STAGES, "us_per_event"))
        click.echo(f"{name:22}{cells}")
        for part, us in one["step_by_part"].items():
            click.echo(f"  {part:20}{us:27.2f}")
    click.echo(f"{'per input, all agents':22}{found['us_per_event']:54.2f}")
    click.echo()
    title = f"{round_records} x {round_partitions} records"
    click.echo(f"{title:22}{'ms a round':>12}{'us each':>9}")
    for name, one in (found["round"]["agents"] | {"all": found["round"]}).items():
        click.echo(f"{name:22}{one['ms_per_round']:12.2f}{one['us_per_record']:9.1f}")


@bench.command()
@click.option("--links", default=50_000, show_default=True, help="Links whose state is taken over.")
@click.option("--rate", default=500.0, show_default=True, help="Events per second while the worker dies.")
@_as_json
def recovery(links: int, rate: float, as_json: bool) -> None:
    """Kill -9 one of two workers on a real Kafka: how soon the other goes on, and whether anything is lost."""
    from tests.bench.recovery import run

    found = run(links, rate, lambda text: click.echo(text, err=True))
    if as_json:
        _print(found)
        return
    for name, value in found.items():
        click.echo(f"{name:28} {value}")


@bench.command()
@click.option(
    "--path",
    "paths",
    multiple=True,
    type=click.Choice(["ingest", "network", "compression", "system", "all"]),
    help="Which to measure, again for more; by default every one.",
)
@click.option("--records", default=200_000, show_default=True, help="Of each input, waiting when the worker starts.")
@click.option(
    "--rate",
    "rates",
    multiple=True,
    type=click.FloatRange(1),
    help="Offer so many records per second, again for more, and not 10, 50 and 80 % of what was reached.",
)
@click.option("--links", default=2_000, show_default=True, help="Size of the simulated fleet.")
@click.option("--seed", default=1, show_default=True, help="Of the fleet.")
@click.option("--seconds", default=8.0, show_default=True, help="How long each load lasts.")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_settings,
    help="A setting of the worker (`dwcp config` lists them), again for more.",
)
@_as_json
def pipeline(
    paths: tuple[str, ...], records: int, rates: tuple[float, ...], links: int, seed: int, seconds: float,
    given: dict[str, str], as_json: bool,
) -> None:  # fmt: skip
    """Events/s and latency of one worker process, from a real Kafka to a real Kafka, by path.

    Latency is from the moment a record was due to be sent to its answer's arrival at a subscriber. With --rate only
    latency is measured, at those rates, which can be compared between versions.
    """
    from tests.bench.pipeline import PATHS, run

    chosen = paths or tuple(PATHS)
    found = run(chosen, records, rates, links, seed, seconds, lambda text: click.echo(text, err=True), given)
    if as_json:
        _print(found)
        return
    click.echo(f"{'':14}{'load':>8}{'p50 ms':>9}{'p99':>9}{'p99.9':>9}{'of a core':>11}{'events/s':>10}{'us each':>9}")
    for name in chosen:
        one = found[name]
        reached = "" if rates else f"{one['events_per_second']:>10,}{one['cpu_us_per_event']:>9.1f}"
        for load, late in one["latency_ms"].items():
            cells = "".join(f"{late[q]:>9.1f}" for q in ("p50", "p99", "p99_9"))
            click.echo(f"{name:14}{load:>8}{cells}{one['cpu_share'][load]:>11.0%}{reached}")
            name = reached = ""
    click.echo(f"lost: {found['lost']}")


@bench.command()
@click.option("--rate", "rates", multiple=True, type=click.FloatRange(1), help="Records per second; again for more.")
@click.option("--links", default=2_000, show_default=True, help="Size of the simulated fleet; a third as many nodes.")
@click.option("--seed", default=1, show_default=True, help="Of the fleet.")
@click.option("--seconds", default=10.0, show_default=True, help="How long each rate lasts.")
@_as_json
def detection(rates: tuple[float, ...], links: int, seed: int, seconds: float, as_json: bool) -> None:
    """Latency of anomaly detection inside a worker on a real Kafka: a record fetched until its alert is handed over."""
    from tests.bench.detection import RATES, run

    found = run(rates or RATES, seconds, links, seed, lambda text: click.echo(text, err=True))
    if as_json:
        _print(found)
        return
    click.echo(f"{'':34}{'clock':>8}{'':8}{'processor':>12}")
    click.echo(f"{'ms':34}{'p50':>8}{'p99':>8}{'p50':>8}{'p99':>8}")
    for rate, one in found.items():
        for name in ("fetched_to_handed_over_ms", "detectors_ms"):
            cells = "".join(f"{one[name][of][q]:8.1f}" for of in ("clock", "processor") for q in ("p50", "p99"))
            click.echo(f"{rate + '/s ' + name[:-3].replace('_', ' '):34}{cells}")
        late = one["due_to_answered_ms"]
        click.echo(
            f"{rate + '/s due to answered':34}{late['p50']:8.1f}{late['p99']:8.1f}{one['cpu_share']:8.0%} of a core"
        )


@bench.command()
@click.option("--quick", is_flag=True, help="Less of everything: three minutes instead of ten or more.")
@click.option("--most", default=1_000_000, show_default=True, help="Links of the largest fleet; 1 M takes 6 GB.")
@click.option("--seed", default=1, show_default=True, help="Of the fleet.")
@_as_json
def scale(quick: bool, most: int, seed: int, as_json: bool) -> None:
    """Cost by links, partitions and workers, what stops a worker, and a sizing model checked on unseen points.

    Its formulas are those of the README's sizing table.
    """
    from tests.bench import sizing
    from tests.bench.scale import QUICK, Plan, run

    plan = QUICK if quick else Plan()
    plan = plan._replace(links=[n for n in plan.links if n <= most])
    found = run(plan, seed, lambda text: click.echo(text, err=True))
    if as_json:
        _print(found)
        return
    click.echo(sizing.stops(found["links"]))
    click.echo(sizing.text(**found["sizing"]))


@bench.command()
@click.option(
    "--peer",
    "names",
    multiple=True,
    type=click.Choice(["kafka-streams", "bytewax", "quix", "faust"]),
    help="Which to run beside this project, again for more; by default all.",
)
@click.option("--records", default=300_000, show_default=True, help="Waiting; plain Faust gets a tenth.")
@click.option("--links", default=2_000, show_default=True, help="Size of the simulated fleet.")
@click.option("--seed", default=1, show_default=True, help="Of the fleet.")
@click.option("--save", is_flag=True, help="Add the results to peers/results.csv and the README's table.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the rates into this PNG.")
@_as_json
def peers(
    names: tuple[str, ...], records: int, links: int, seed: int, save: bool, plot: Path | None, as_json: bool
) -> None:
    """The same job on other stream processors: decode samples, 12 means, 3 changes, a score, JSON out."""
    from tests.bench.peers import result
    from tests.bench.peers.run import PEERS, run

    chosen = ["dwcp-streams", *(names or [name for name in PEERS if name != "dwcp-streams"])]
    found = run(chosen, records, links, seed, lambda text: click.echo(text, err=True))
    if save:
        result.save(found["peers"])
    if plot is not None:
        result.draw(found["peers"], plot)
    if as_json:
        _print(found)
        return
    click.echo(f"{'':14}{'events/s':>10}{'us each':>9}{'lost':>6}{'differing':>11}{'this is':>9}")
    for name, one in found["peers"].items():
        beside = f"{one['differing']:>11}{one['ratio']:>8}x" if "ratio" in one else ""
        click.echo(f"{name:14}{one['events_per_second']:>10,}{one['cpu_us_per_event']:>9}{one['lost']:>6}{beside}")


def _print(found: dict[str, Any]) -> None:
    json.dump(found, sys.stdout)
    sys.stdout.write("\n")
