"""What rollouts of all partitions teach those that begin anew, played without a broker.

    PYTHONPATH=. python tests/bench/learning.py --seeds 5 --json
    PYTHONPATH=. python tests/bench/learning.py --grids fresh      # of `dwcp optimize grid --seed NEW --out fresh`

A deployment of 48 nodes on eight partitions is tuned for some hours, each partition asked again as soon as it has
answered; what came of it trains what `dwcp train optimizer` would make of it. Then the same nodes begin anew at the
defaults, with other noise, once with and once without it. Nodes obey the measured grids: all of them one
context, or each partition one of its own. Both arms are played whatever the gate says.
`tests/e2e/test_tuning.py` plays the first part with a broker, a worker and a sidecar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.optimizer.grid import Grid, load_grids
from offline.simulator.fleet import START_MS
from offline.simulator.tuned import TunedFleet
from offline.training.optimizer_command import TRAINING_SHARE, judge, read_priors
from offline.training.optimizer_fit import fit, foretell, read_rollouts
from online_models.optimizer.learned import Learned
from online_models.optimizer.prior import Prior
from online_models.optimizer.state import OptimizerState, Optimizing
from schemas.batch import Control
from schemas.optimizer import PARAMETERS, SCOPE, OptimizerRecommendation, OptimizerRequest, OptimizerRollout
from schemas.system import SystemMetrics
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_REQUEST, OPTIMIZER_ROLLOUT, PARTITIONS, SYSTEM_RAW
from tests.online_models.optimizer.fleet import records_of
from tests.online_models.stream import metrics_of

F64 = NDArray[np.float64]
MINUTE_MS: Final = 60_000
NODES: Final = 48
ENDED: Final = ("completed", "rolled_back")
SHOWN_H: Final = (3, 4, 6, 8)
"""Hours of the second part after which what is in force is looked at."""


class Deployment:
    """Nodes that follow rollouts, minute by minute, and who asks their partitions.

    Parameters
    ----------
    seed, grids, alike
        As `offline.simulator.tuned.TunedFleet` has them.
    nodes
        How many.
    """

    def __init__(self, seed: int, grids: dict[str, Grid], nodes: int = NODES, alike: bool = True) -> None:
        self.fleet = TunedFleet(seed, nodes, PARTITIONS, SYSTEM_RAW.name, grids, alike)
        self.time_ms = START_MS
        self.recommendations: list[OptimizerRecommendation] = []
        self.rollouts: list[OptimizerRollout] = []
        self._asked = 0
        self._idle = {p for p in range(PARTITIONS) if (self.fleet.partition == p).sum() > 1}

    def minute(self) -> dict[str, F64]:
        """A minute's means of each metric, `[node]`."""
        self.time_ms += MINUTE_MS
        return {name: one.mean(axis=0) for name, one in self.fleet.metrics(self.time_ms).items()}

    def hear(self, recommendations: Iterable[OptimizerRecommendation], rollouts: Iterable[OptimizerRollout]) -> None:
        """Set parameters as the records ask, and note who has answered."""
        for said in recommendations:
            self.recommendations.append(said)
            if not said.changes:
                self._idle.add(_partition(said.scope))
        for one in rollouts:
            self.rollouts.append(one)
            self.fleet.follow(one)
            if one.status in ENDED:
                self._idle.add(_partition(one.scope))

    def requests(self) -> list[OptimizerRequest]:
        """One for each partition that has answered, with what is in force there."""
        made = []
        for partition in sorted(self._idle):
            self._asked += 1
            values = self.fleet.base[self.fleet.partition == partition][0]
            current = dict(zip((p.name for p in PARAMETERS), values.tolist(), strict=True))
            made.append(OptimizerRequest(f"r-{self._asked}", self.time_ms, f"{SCOPE}/{partition}", current))
        self._idle.clear()
        return made

    def tested(self) -> int:
        """Rollouts of which a stage was tested."""
        return len({one.recommendation_id for one in self.rollouts if one.effect_pct is not None})


class Taught(Learned):
    """What was learned, without a model on a shelf."""

    def __init__(self, priors: Mapping[str, Prior], gains: Mapping[str, F64]) -> None:
        super().__init__(priors)
        self._gains = gains

    def gains(self) -> Mapping[str, F64]:
        """What was learned."""
        return self._gains


class Course(Struct):
    """A deployment that begins anew: gain over the defaults after `SHOWN_H`, %; rollouts, and those taken back."""

    gain_pct: list[float]
    rollouts: int
    taken_back: int


class Found(Struct):
    """One deployment: rollouts that taught, what of them is common, errors of what later ones were expected to do."""

    seed: int
    alike: bool
    tested: int
    share: float
    error: float
    error_before: float
    passed: bool
    without: Course
    taught: Course


def play(deployment: Deployment, states: Sequence[OptimizerState], hours: float) -> list[float]:
    """Let it live; the mean gain over its nodes at the end of each hour, %."""
    gains = []
    for minute in range(round(60 * hours)):
        for request in deployment.requests():
            for partition, state in enumerate(states):
                body = msgspec.json.encode(request)
                state.control(Control(OPTIMIZER_REQUEST.kind, body, b"x/0/0", partition, deployment.time_ms))
        metrics = deployment.minute()
        for partition, state in enumerate(states):
            _step(deployment, state, partition, metrics)
        if minute % 60 == 59:
            gains.append(100.0 * float(np.expm1(deployment.fleet.gain().mean())))
    return gains


def _step(deployment: Deployment, state: OptimizerState, partition: int, metrics: Mapping[str, F64]) -> None:
    """A partition's minute."""
    names, own = deployment.fleet.names, np.flatnonzero(deployment.fleet.partition == partition)
    if not len(own):
        return
    records = [
        SystemMetrics(
            timestamp=deployment.time_ms, node_id=names[k], **{name: float(v[k]) for name, v in metrics.items()}
        )
        for k in own
    ]
    batch = metrics_of(records)
    batch.partition = partition
    result = state.step(batch)
    said, rollouts = (records_of(result, topic) for topic in (OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT))
    began = {one.scope: one.recommendation_id for one in rollouts if one.status == "running"}
    deployment.hear([msgspec.structs.replace(one, id=began.get(one.scope, one.id)) for one in said], rollouts)


def learn(seed: int, alike: bool, hours: float, grids: dict[str, Grid], priors: Mapping[str, Prior]) -> Found:
    """Play a deployment, learn from it, and play it anew."""
    make = Optimizing(priors)
    first = Deployment(seed, grids, alike=alike)
    play(first, [make() for _ in range(PARTITIONS)], hours)
    rollouts = read_rollouts(first.recommendations, first.rollouts, priors)
    cut = round(TRAINING_SHARE * len(rollouts))
    judged = judge(foretell(rollouts[:cut], rollouts[cut:], priors), rollouts[cut:])
    fitted = fit(rollouts, priors)
    courses = []
    for gains in ({}, fitted.gains):
        again = Deployment(seed, grids, alike=alike)
        for _ in range(round(60 * hours)):
            again.fleet.metrics(START_MS)  # other noise than what was learned from
        states = [make() for _ in range(PARTITIONS)]
        for state in states:
            state._learned = Taught(priors, gains)
        found = play(again, states, max(SHOWN_H) + 0.5)
        ends = [one.status for one in again.rollouts if one.status in ENDED]
        courses.append(Course([found[h - 1] for h in SHOWN_H], len(ends), ends.count("rolled_back")))
    return Found(
        seed, alike, len(rollouts), fitted.share, judged.metrics["error"], judged.metrics["error_before"],
        judged.gates[0].passed, *courses,
    )  # fmt: skip


def _line(found: Sequence[Found]) -> str:
    """What the gate let through is worth: means over deployments, and of the differences their standard error."""
    passed = [one for one in found if one.passed]
    gained = np.array([np.subtract(one.taught.gain_pct, one.without.gain_pct) * one.passed for one in found])
    without = np.mean([one.without.gain_pct for one in found], axis=0)
    error = gained.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.full(len(without), np.nan)
    ratio = np.median([one.error / one.error_before for one in found])
    said = ", ".join(
        f"{h} h {w:.1f} % and {g:+.1f} ({2 * e:.1f}) with what passed"
        for h, w, g, e in zip(SHOWN_H, without, gained.mean(axis=0), error, strict=True)
    )
    what = "one context" if found[0].alike else "each partition its own"
    return f"{what}: gate passed by {len(passed)} of {len(found)}, median error ratio {ratio:.2f}; gain after {said}"


@click.command()
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--hours", default=12.0, show_default=True, type=click.FloatRange(1), help="That teach.")
@click.option("--grids", "at", type=click.Path(exists=True, file_okay=False, path_type=Path), help="That nodes obey.")
@click.option("--json", "as_json", is_flag=True, help="Each deployment, too, as one JSON document.")
def main(seeds: int, hours: float, at: Path | None, as_json: bool) -> None:
    """Play deployments."""
    grids, priors = load_grids(at), read_priors()
    found: list[Found] = []
    for alike in (True, False):
        for seed in range(seeds):
            found.append(one := learn(seed, alike, hours, grids, priors))
            click.echo(msgspec.json.encode(one), err=True)
        click.echo(_line([one for one in found if one.alike == alike]))
    if as_json:
        click.echo(msgspec.json.encode(found))


def _partition(scope: str) -> int:
    return int(scope.rpartition("/")[2])


if __name__ == "__main__":
    main()
