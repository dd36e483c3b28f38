"""Experiments on simulated traffic: how often nothing is called something, and how small a gain is found.

The traffic is what breaks tests that take requests for independent: a few links have most of it,
links differ tenfold, every link has its own shock each day, transfers come in bursts that share an
arm and a shock, and a neutral treatment is a little better on some links and worse on others. Requests are
given to arms by the hash of generated ids, and sums and looks are the product's own.

    python -m tests.bench.experiment --runs 1000 --plot power.png --json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np
from scipy.special import ndtri
from scipy.stats import beta

from online_models.experiment.arm import CONTROL, TREATMENT, arms_of
from online_models.experiment.arm_sum import ArmSums
from online_models.experiment.bound import boundaries
from online_models.experiment.course import HOUR_MS, Measure, Plan, begin, take_look
from online_models.experiment.effect import compare, sample_ratio_p

LINKS: Final = 100
REQUESTS: Final = 2_000
"""Per day; 28 days are 28,000 in each arm, less the first four days' small ramps."""
BURST: Final = 4
"""Transfers of one request on average."""
DAYS: Final = 28

_NEUTRAL: Final = Plan(
    experiment_id="aa", model_name="selector", control_version="a", treatment_version="b",
    measures=(Measure("throughput_mbps", "Mbps", "primary", "log", "higher"),),
)  # fmt: skip


class Day(NamedTuple):
    """One day's requests."""

    key: list[bytes]
    arm: np.ndarray
    value: np.ndarray


class Traffic:
    """A fleet's requests, day by day, as logarithms of throughput.

    Parameters
    ----------
    seed
        Of everything.
    gain
        Of the treatment, as a share.
    spread
        Standard deviation of the gain over links.
    """

    def __init__(self, seed: int, gain: float = 0.0, spread: float = 0.05) -> None:
        self._rng = np.random.default_rng(seed)
        share = self._rng.pareto(1.5, LINKS) + 0.1
        self._share = share / share.sum()
        self._level = self._rng.normal(6.0, 1.0, LINKS)
        self._gain = np.log1p(gain) + self._rng.normal(0.0, spread, LINKS)
        self._keys = [f"node-{link}:hub".encode() for link in range(LINKS)]

    def day(self, ramp_pct: int) -> Day:
        """The requests of the next day, at this ramp."""
        rng = self._rng
        bursts = rng.poisson(REQUESTS / BURST)
        link = rng.choice(LINKS, bursts, p=self._share)
        # Consecutive ids would be shared more evenly than chance: no test of the sample ratio.
        arm = arms_of([f"{one:016x}" for one in rng.integers(0, 2**62, bursts).tolist()], ramp_pct)
        shock = rng.normal(0.0, 0.5, LINKS)[link] + rng.normal(0.0, 0.4, bursts)
        size = rng.geometric(1.0 / BURST, bursts)
        own = np.repeat(self._level[link] + shock + self._gain[link] * arm, size)
        key = [self._keys[at] for at in np.repeat(link, size).tolist()]
        return Day(key, np.repeat(arm, size), own + rng.normal(0.0, 0.3, len(own)))


def course(seed: int, gain: float) -> dict[str, Any]:
    """One experiment as the product runs it: its status, its looks, and requests in the treatment."""
    traffic = Traffic(seed, gain)
    plan, sums = _NEUTRAL, ArmSums(_NEUTRAL.metrics)
    state = begin(plan, 0)
    for number in range(1, DAYS + 1):
        day = traffic.day(state.ramp_pct)
        sums.add(day.key, state.ramp_pct, day.arm, day.value[:, None])
        look = take_look(plan, state, sums, number * 24 * HOUR_MS)
        if look is None:
            continue
        state = look.state
        if state.ramp_pct == 100 or state.status != "running":
            break
    status = "passed" if state.ramp_pct == 100 else state.status
    return {"status": status, "looks": state.looks, "treatment": state.treatment_requests}


def rejections(seed: int, levels: Sequence[float]) -> dict[float, dict[str, bool]]:
    """Whether each way of testing calls a difference where there is none, by level."""
    traffic = Traffic(seed)
    sums = ArmSums(["x"])
    measure = Measure("x", "1", "primary", "log", "higher")
    count, total, square = np.zeros(2), np.zeros(2), np.zeros(2)
    naive: list[float] = []
    robust: list[float] = []
    information: list[float] = []
    times: list[float] = []
    for number in range(1, DAYS + 1):
        ramp = (1, 1, 10, 10)[number - 1] if number <= 4 else 50
        key, arm, value = traffic.day(ramp)
        sums.add(key, ramp, arm, value[:, None])
        for side in (CONTROL, TREATMENT):
            own = value[arm == side]
            count[side] += len(own)
            total[side] += own.sum()
            square[side] += own @ own
        naive.append(_t(count, total, square))
        arms = compare(sums, measure)
        if arms.information <= max(information, default=0.0):  # nobody was in the treatment: no look
            naive.pop()
            continue
        robust.append(arms.effect.z())
        information.append(arms.information)
        times.append(number / DAYS)
    ratio = sample_ratio_p(sums)
    found = {}
    for level in levels:
        fixed = float(-ndtri(level / 2.0))
        bound = np.array(boundaries(tuple(information), tuple(times), level))
        found[level] = {
            "t-test, one look": abs(naive[-1]) > fixed,
            "t-test, 28 looks": max(map(abs, naive)) > fixed,
            "t-test, 28 looks, O'Brien-Fleming": bool((np.abs(naive) > bound).any()),
            "by link, one look": abs(robust[-1]) > fixed,
            "by link, 28 looks": max(map(abs, robust)) > fixed,
            "by link, 28 looks, O'Brien-Fleming": bool((np.abs(robust) > bound).any()),
            "sample ratio": ratio < level,
        }
    return found


def rate(hits: int, runs: int) -> dict[str, float]:
    """A share with its exact 95 % interval (Clopper, Pearson)."""
    low = beta.ppf(0.025, hits, runs - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, runs - hits) if hits < runs else 1.0
    return {"rate": hits / runs, "low": float(low), "high": float(high)}


def measure_rates(runs: int, first_seed: int, levels: Sequence[float]) -> dict[str, Any]:
    """How often each way of testing rejects, without any effect, by level."""
    found = [rejections(first_seed + k, levels) for k in range(runs)]
    return {
        f"{level:g}": {name: rate(sum(one[level][name] for one in found), runs) for name in found[0][level]}
        for level in levels
    }


def measure_power(gains: list[float], runs: int, first_seed: int) -> list[dict[str, Any]]:
    """How often whole experiments pass, fail and roll back, by true gain."""
    rows = []
    for gain in gains:
        found = [course(first_seed + k, gain) for k in range(runs)]
        passed = [one for one in found if one["status"] == "passed"]
        rows.append(
            {
                "gain_pct": 100 * gain,
                "passed": rate(len(passed), runs),
                "rolled_back": rate(sum(one["status"] == "rolled_back" for one in found), runs),
                "median_days_to_pass": float(np.median([one["looks"] for one in passed])) if passed else None,
            }
        )
    return rows


def _t(count: np.ndarray, total: np.ndarray, square: np.ndarray) -> float:
    if count.min() < 2:
        return 0.0
    mean = total / count
    variance = (square - count * mean**2) / (count - 1)
    return float((mean[TREATMENT] - mean[CONTROL]) / np.sqrt((variance / count).sum()))


def plot(found: dict[str, Any], path: Path) -> None:
    """The power curve and the false positives, as a PNG."""
    from offline.training.report import make_figure

    figure = make_figure(1, 2)
    power, false = figure.axes
    gains = [row["gain_pct"] for row in found["power"]]
    for name in ("passed", "rolled_back"):
        power.plot(gains, [100 * row[name]["rate"] for row in found["power"]], marker="o", label=name.replace("_", " "))
    power.axvline(_NEUTRAL.min_lift_pct, color="grey", linestyle=":")
    power.set(xlabel="true gain, %", ylabel="experiments, %", title="Whole experiments, level .01 and gain > 5 %")
    power.legend()
    level, rates = next(iter(found["false_positives"].items()))
    false.barh(list(rates), [100 * one["rate"] for one in rates.values()])
    false.axvline(100 * float(level), color="grey", linestyle=":")
    false.set(xlabel="called different, %", title=f"No effect, level {level}")
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--runs", default=1_000, show_default=True, help="Simulated experiments without any effect.")
@click.option("--power-runs", default=200, show_default=True, help="Per true gain.")
@click.option("--gain", "gains", multiple=True, type=float, default=(-5, 0, 5, 7, 10, 15), help="True gain, %.")
@click.option("--level", "levels", multiple=True, default=(0.05, 0.01), show_default=True, help="Of those tests.")
@click.option("--seed", default=1, show_default=True, help="Of the first run.")
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Write a figure.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def experiment(
    runs: int, power_runs: int, gains: Sequence[float], levels: Sequence[float], seed: int, picture: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """False positives of A/A experiments, and the power of real ones."""
    found: dict[str, Any] = {"runs": runs, "power_runs": power_runs, "seed": seed}
    found["false_positives"] = measure_rates(runs, seed, levels)
    found["power"] = measure_power([gain / 100 for gain in gains], power_runs, seed)
    if picture is not None:
        plot(found, picture)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for level, rates in found["false_positives"].items():
        click.echo(f"without an effect, level {level}")
        for name, one in rates.items():
            click.echo("  {:38} {rate:7.1%}  ({low:.1%} to {high:.1%})".format(name, **one))
    for row in found["power"]:
        days = row["median_days_to_pass"]
        click.echo(
            f"true gain {row['gain_pct']:+5.1f} %: passed {row['passed']['rate']:6.1%}, "
            f"rolled back {row['rolled_back']['rate']:6.1%}" + (f", after {days:g} days" if days else "")
        )


if __name__ == "__main__":
    experiment()
