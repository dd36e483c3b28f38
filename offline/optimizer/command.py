"""`dwcp optimize`: measure, train, compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import numpy as np

from offline.optimizer.bench import BUDGET, CHOICE_GOAL_US, SEEDS, Cell, Difficulty, run_bench
from offline.optimizer.grid import NAMES, load_grids
from offline.optimizer.policy import DEFAULT_POLICY, POLICIES, Make
from schemas.error import ConfigError


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.group()
def optimize() -> None:
    """Tune nine parameters of HDE, PBA and ACP, safely; and see which policy does it best.

    Policies are compared on measurements of real compression, of the forecaster replayed over links,
    and of simulated consensus. Compact measurements come with the package.
    """


@optimize.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory to write.")
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Measure this one; again for more.")
@click.option("--rtt", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV file of measured round trips, ms: distribution for ACP, course for PBA.")  # fmt: skip
@click.option("--seed", default=0, show_default="those of the package", help="Of contexts; another one makes others.")
@click.option(
    "--contexts", type=click.IntRange(3), show_default="60, 36 of pba", help="How many; the package has 500 of acp."
)
def grid(out: Path, only: Sequence[str], rtt: Path | None, seed: int, contexts: int | None) -> None:
    """Measure every setting in every context; some ten minutes for 60 of each.

    \b
    hde   compression level x chunk x window on real payloads, by block delta and zstd
    pba   prediction window x confidence threshold x update interval, the forecaster replayed over links
    acp   timeout x batch x members, consensus event by event

    Afterwards: dwcp optimize bench --grids DIR
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in only or NAMES:
        began = time.perf_counter()
        if name == "hde":
            from offline.optimizer import hde

            made = hde.build(_say, contexts=contexts or hde.CONTEXTS, seed=seed or hde.SEED)
        elif name == "pba":
            from offline.optimizer import pba

            made = pba.build(_say, rtt, contexts or pba.CONTEXTS, seed or pba.SEED)
        else:
            from offline.optimizer import acp

            made = acp.build(_say, rtt, contexts or acp.CONTEXTS, seed or acp.SEED)
        content = made.to_bytes()
        (out / f"{name}.npz").write_bytes(content)
        click.echo(f"{out / name}.npz: {made.log[..., 0].size} measurements, {len(content)} bytes, "
                   f"{time.perf_counter() - began:.0f} s")  # fmt: skip


@optimize.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory to write.")
@click.option("--grids", "grids_at", type=click.Path(file_okay=False, path_type=Path), help="Of `dwcp optimize grid`.")
@click.option("--seed", default=1, show_default=True)
def train(out: Path, grids_at: Path | None, seed: int) -> None:
    """Train the deep Q network (needs PyTorch): dqn.npz for the bench, dqn.onnx for everyone else."""
    from offline.optimizer.dqn import export_onnx
    from offline.optimizer.dqn import train as train_network

    network = train_network(load_grids(grids_at), seed, _say)
    out.mkdir(parents=True, exist_ok=True)
    (out / "dqn.npz").write_bytes(network.to_bytes())
    (out / "dqn.onnx").write_bytes(export_onnx(network))
    click.echo(f"{out / 'dqn.npz'} {out / 'dqn.onnx'}")


@optimize.command()
@click.option("--grids", "grids_at", type=click.Path(file_okay=False, path_type=Path), help="Of `dwcp optimize grid`.")
@click.option("--dqn", "dqn_at", type=click.Path(dir_okay=False, path_type=Path), help="Of `dwcp optimize train`.")
@click.option("--policy", "chosen", type=click.Choice([*POLICIES, "dqn"]), multiple=True, help="Only this one.")
@click.option("--environment", "places", type=click.Choice(NAMES), multiple=True, help="Only this one.")
@click.option("--seeds", type=click.IntRange(2), default=SEEDS, show_default=True, help="Runs of each pair.")
@click.option("--every-context", is_flag=True, help="A run of each context instead, as often as there are contexts.")
@click.option("--budget", type=click.IntRange(2), default=BUDGET, show_default=True, help="Evaluations of each run.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Picture to write.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def bench(
    grids_at: Path | None, dqn_at: Path | None, chosen: Sequence[str], places: Sequence[str], seeds: int, budget: int,
    plot: Path | None, as_json: bool, every_context: bool,
) -> None:  # fmt: skip
    """Compare all policies in all environments at equal budget, in contexts that none has learned from.

    Without --grids they learn from two thirds of the package's contexts and are judged on the others; with
    it they learn from all of the package's, as workers do, and are judged on all of the directory's.

    learned is told all features of a context; live is the same told what system metrics tell, as workers run
    it; untold is told nothing; oracle knows what each setting does and keeps the same rules: a ceiling.

    Runs draw contexts without replacement, the same for all policies; --every-context makes one of each. Each
    run begins at the default setting; an evaluation shows performance with 2 % noise.
    After the budget the context changes, and the run goes on from what it found. `evaluations` are those until the
    recommended setting had 97 % of the best measured one's true performance within the soft limits; a
    trial is unsafe when it is more than 10 % worse than what was recommended before it. `choice` is the
    processor time of a choice, `learn` that of taking a trial in; what is asked for is 20 us.

    \b
    dwcp optimize bench --plot bench.png
    dwcp optimize bench --json | jq .median_evaluations
    """
    grids = load_grids(None, places or NAMES)
    if grids_at:
        grids = {name: fresh.after(grids[name]) for name, fresh in load_grids(grids_at, places or NAMES).items()}
    began = time.perf_counter()
    made = _policies(chosen or [*POLICIES, "dqn"], dqn_at)
    cells, difficulties = run_bench(grids, made, None if every_context else seeds, budget, _say)
    ours = {cell.environment: cell.median_evaluations for cell in cells if cell.policy == DEFAULT_POLICY}
    if plot:
        _draw(cells, plot)
    if as_json:
        document = {
            "default_policy": DEFAULT_POLICY, "median_evaluations": max(ours.values(), default=None),
            "median_evaluations_by_environment": ours, "seeds": None if every_context else seeds, "budget": budget,
            "choice_goal_us": CHOICE_GOAL_US, "seconds": round(time.perf_counter() - began, 1),
            "sources": {n: g.source for n, g in grids.items()},
            "environments": difficulties, "cells": cells,
        }  # fmt: skip
        click.echo(msgspec.json.encode(document))
        return
    click.echo("\n".join(_lines(cells, difficulties, budget)))


@optimize.command()
@click.option("--links", type=click.IntRange(8), default=48, show_default=True, help="Of all four types in turn.")
@click.option("--hours", type=click.FloatRange(1.0), default=48.0, show_default=True, help="The second half is shown.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of links, transfers and choices.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def amst(links: int, hours: float, seed: int, as_json: bool) -> None:
    """Stream counts of AMST: the contract's formula, and factors on it learned from what transfers achieved.

    On simulated links that transfers load themselves: too few streams leave bandwidth unused, too
    many fill the queue and lose. Times are geometric means over the formula's, under the same conditions. The last
    line is what a worker is told with, of the types where it beats the formula for certain; else nothing is.

    \b
    dwcp optimize amst --seed 1
    DWCP_AMST_FACTORS=dc=0.0156 faust -A app worker
    """
    from offline.optimizer.amst import run_amst

    found = run_amst(links, round(60 * hours), seed)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(f"{'links':<7}{'policy':<10}{'time':>7}{'at most':>9}{'streams':>9}{'loss %':>8}{'queue %':>9}")
    for row in found.rows:
        click.echo(
            f"{row.link_type:<7}{row.policy:<10}{row.time_ratio:>7.3f}{row.time_ratio_upper:>9.3f}{row.streams:>9.0f}"
            f"{100 * row.loss:>8.2f}{100 * row.queue:>9.1f}"
        )
    said = ",".join(f"{name}={factor:g}" for name, factor in found.factors.items())
    click.echo(f"DWCP_AMST_FACTORS={said}" if said else "nothing beats the formula for certain")


def _policies(names: Sequence[str], dqn_at: Path | None) -> dict[str, Make]:
    made = {name: POLICIES[name] for name in names if name in POLICIES}
    if "matern" in made:
        try:
            import sklearn  # noqa: F401
        except ImportError as exc:
            raise ConfigError(
                "--policy", "matern", "with scikit-learn installed: pip install 'dwcp-streams[train]'"
            ) from exc
    if "dqn" in names:
        from offline.optimizer.dqn import DeepQ, Network

        network = Network.load(dqn_at)
        made["dqn"] = lambda grid: DeepQ(grid, network)
    return made


def _lines(cells: Sequence[Cell], difficulties: Sequence[Difficulty], budget: int) -> list[str]:
    lines = [
        f"evaluations until 97 % of the measured optimum; {budget + 1} stands for more than {budget}; "
        f"a choice should take at most {CHOICE_GOAL_US:g} us"
    ]
    for place in difficulties:
        lines.append(
            f"\n{place.environment}: {place.contexts} contexts, {place.settings} settings, of which "
            f"{100 * place.good_settings:.1f} % would do; the default has {100 * place.default_share:.0f} % "
            "of the optimum"
        )
        lines.append(f"  {'policy':<10}{'median':>7}{'95 % CI':>13}{'p90':>6}{'reached':>9}{'again':>7}{'p90':>6}"
                     f"{'<= 10':>7}{'unsafe %':>10}{'over limit %':>14}{'at 20':>7}{'of the gain':>13}"
                     f"{'choice us':>11}{'learn us':>10}")  # fmt: skip
        for c in cells:
            if c.environment == place.environment:
                interval = f"{c.interval[0]:g}..{c.interval[1]:g}"
                lines.append(
                    f"  {c.policy:<10}{c.median_evaluations:>7g}{interval:>13}{c.p90_evaluations:>6.1f}"
                    f"{100 * c.reached:>8.0f}%{c.reconverged_median:>7g}{c.reconverged_p90:>6.1f}"
                    f"{100 * c.reconverged_within_10:>6.0f}%{c.unsafe_pct:>10.2f}{c.over_limit_pct:>14.2f}"
                    f"{c.share_at_20:>7.3f}{c.gain_share:>13.3f}{c.choice_us:>11.0f}{c.learn_us:>10.0f}"
                )
    return lines


def _draw(cells: Sequence[Cell], path: Path) -> None:
    """Mean share of the optimum after each evaluation, one panel per environment."""
    from matplotlib.figure import Figure  # a second to import

    places = list(dict.fromkeys(cell.environment for cell in cells))
    figure = Figure(figsize=(4.5 * len(places), 4.0), layout="constrained")
    for axes, place in zip(np.atleast_1d(figure.subplots(1, len(places), sharey=True)), places, strict=True):
        for cell in cells:
            if cell.environment == place:
                axes.plot(range(1, len(cell.curve) + 1), cell.curve, label=cell.policy)
        axes.axhline(0.97, color="grey", linewidth=0.8, linestyle=":")
        axes.set(title=place, xlabel="evaluations")
    figure.axes[0].set_ylabel("share of the measured optimum, mean")
    figure.axes[-1].legend()
    figure.savefig(path, dpi=120)
