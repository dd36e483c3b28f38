"""Nodes' metrics in; recommended parameters and the course of their rollout out.

What is tuned together is the partition's nodes, because a rollout needs nodes with and without a
change to compare. Every minute of event time is closed once the partition's newest record lies past it:
then the rollout takes it in, or the triggers are looked at. Nothing is recommended before an
`OptimizerRequest` has said which parameters are in force; it reaches every partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.experiment import rollout as course
from online_models.optimizer.choice import Choice, Limits, choose
from online_models.optimizer.context import told_of, unit_of
from online_models.optimizer.evidence import Evidence
from online_models.optimizer.posterior import Posterior, Trials
from online_models.optimizer.prior import Prior
from online_models.optimizer.record import make_changes, output_of, recommendation_record, rollout_record
from online_models.optimizer.space import DEFAULT, GROUPS, snap
from online_models.optimizer.watch import (
    ACCURACY,
    CPU,
    MEMORY,
    MINUTE,
    N_LEVELS,
    WATCHED,
    close_node_minutes,
    group_levels,
    performance_of,
    triggered,
)
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import system_batch
from online_models.slot import row_dtype
from schemas import optimizer
from schemas.batch import Batch, Control, Result, matrix
from schemas.optimizer import OPTIMIZER_TRIGGERS, PARAMETERS, SCOPE, OptimizerRequest
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_REQUEST, OPTIMIZER_ROLLOUT, Topic

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS

LEAST_MINUTES: Final = 30
"""Of history before a trigger or a recommendation."""

REST_MS: Final = 10 * MINUTE_MS
"""After a rollout, before the next recommendation."""

MAX_TRIALS: Final = 24
"""Remembered for each system; the oldest is forgotten, but never the first."""

NODE: Final = row_dtype(*MINUTE, ("digest", "u8"))

_TUNER: Final = row_dtype(
    ("minute", "i8"), ("enabled", "i8"), ("pending", "i8"), ("recommended", "i8"), ("changed", "i8"),
    ("rested", "i8"), ("group", "i8"), ("chosen", "i8"), ("values", "f8", (9,)), ("proposed", "f8", (9,)),
    ("tunable", "i8", (9,)), ("effect", "f8"), ("limits", "f8", (3,)), ("trials", "i8", (3,)),
    ("setting", "i8", (3, MAX_TRIALS)), ("seen", "f8", (3, MAX_TRIALS, 4)), ("request", "S1024"),
    ("recommendation", "S512"), ("rollout", course.ROLLOUT),
)  # fmt: skip
"""One partition's tuning: `values` are in force, `proposed` on their way, `pending` is 1 + the trigger's number,
`effect` is what the rollout's last passed stage showed."""


class OptimizerState(PartitionState):
    """One partition's nodes.

    Parameters
    ----------
    priors
        What is known of each system's settings, by `GROUPS`; a system without one is not tuned.
    idle_ms
        How long a silent node is remembered.
    """

    def __init__(self, priors: Mapping[str, Prior] | None = None, idle_ms: int = IDLE_MS) -> None:
        self._priors = dict(priors or {})
        self._tuner = np.zeros(1, _TUNER)
        self._tuner["values"], self._tuner["proposed"] = DEFAULT, DEFAULT
        self._counts = np.zeros(4, np.int64)
        """Records, recommendations, rollouts completed, rollouts taken back."""
        super().__init__(NODE, {"tuner": self._tuner, "counts": self._counts}, idle_ms)

    def restored(self) -> None:
        """Nothing is derived."""

    @classmethod
    def warm(cls) -> None:
        """Compile the kernels."""
        cls().step(system_batch(timestamps_ms=range(0, 180_000, 5000)))
        prior = Prior.learn(np.ones((2, 3)), np.zeros((3, 2, 4)), np.zeros((3, 1)))
        trials = Trials(np.arange(2), np.zeros((2, 4)))
        Evidence(prior, trials)
        choose(Posterior(prior, trials), Limits())

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Counts, and the share of a rollout's nodes."""
        names = ("records", "recommendations", "rollouts_completed", "rollouts_rolled_back")
        found = {f"optimizer_{name}": (float(n), None) for name, n in zip(names, self._counts, strict=True)}
        running = self._tuner["rollout"]["status"][0] == course.RUNNING
        return {**found, "optimizer_rollouts_running": (float(running), None)}

    def control(self, control: Control) -> Result:
        """Take a request in: it is answered at the end of the minute, or of the rollout that it finds running.

        When other parameters are in force than were believed to be, a running rollout is over.

        Raises
        ------
        ValidationError
            When it is for another scope, or names a parameter or value that does not exist.
        """
        super().control(control)
        if control.kind != OPTIMIZER_REQUEST.kind:
            return Result()
        request = msgspec.json.decode(control.body, type=OptimizerRequest)
        current = check_request(request)
        tuner = self._tuner[0]
        tuner["pending"] = 1 + OPTIMIZER_TRIGGERS.index(request.trigger)
        tuner["request"] = request.request_id.encode()
        tuner["limits"] = request.max_memory_pct, request.max_cpu_pct, request.max_cost_increase_pct
        tuner["tunable"], tunable = [p.name in request.current for p in PARAMETERS], tuner["tunable"].copy()
        if tuner["enabled"] and (current == tuner["values"])[tunable > 0].all():
            tuner["values"][tunable == 0] = current[tunable == 0]
            return Result()
        # Somebody else changed them: what was tried against other values tells nothing.
        tuner["enabled"], tuner["trials"] = 1, 0
        proposed = tuner["proposed"].copy()
        tuner["values"] = tuner["proposed"] = current
        moment = course.stop(tuner["rollout"], "a request has other parameters in force")
        if moment is None:
            return Result()
        tuner["proposed"] = proposed
        self._counts[3] += 1
        now = (int(tuner["minute"]) + 1) * MINUTE_MS
        record = self._rollout_record(f"{SCOPE}/{control.partition}", now, moment)
        return Result({OPTIMIZER_ROLLOUT: output_of([(0, record)])})

    def apply(self, batch: Batch) -> Result:
        """What there is to say at the end of each minute that the batch closes."""
        timestamp = np.ascontiguousarray(batch.columns["timestamp"], np.int64)
        x = matrix(batch.columns, WATCHED)
        slot = self._table.index(batch.key)
        self._counts[0] += len(batch)
        tuner = self._tuner[0]
        if timestamp.max() // MINUTE_MS <= tuner["minute"]:  # as mostly: no minute ends
            _take(self._table.rows, slot, timestamp, x)
            return Result()
        newest = np.maximum.accumulate(timestamp) // MINUTE_MS
        if not tuner["minute"]:
            tuner["minute"] = newest[0]
        results = []
        at = 0
        while at < len(batch):
            end = int(np.searchsorted(newest, tuner["minute"], "right"))
            if end > at:
                _take(self._table.rows, slot[at:end], timestamp[at:end], x[at:end])
                at = end
            if at < len(batch):
                results.append((at, self._close_minute(batch, at)))
                tuner["minute"] = newest[at]
        return _combine(results)

    def _close_minute(self, batch: Batch, row: int) -> list[tuple[Topic, dict[str, Any]]]:
        """The partition's minute is over: nodes' means, then the rollout or the triggers."""
        tuner = self._tuner[0]
        now = (int(tuner["minute"]) + 1) * MINUTE_MS
        rows = self._table.rows
        for slot in np.flatnonzero(rows["digest"] == 0).tolist():
            key = self._table.keys[slot] or b""
            rows["digest"][slot] = int.from_bytes(blake2b(key, digest_size=8).digest()) | 1
        close_node_minutes(rows)
        self._table.touch_all()
        scope = f"{SCOPE}/{batch.partition}"
        if tuner["rollout"]["status"] == course.RUNNING:
            return self._go_on(scope, now)
        if not tuner["enabled"] or now - tuner["rested"] < REST_MS:
            return []
        known = rows["minutes"] >= LEAST_MINUTES
        if known.sum() < 2:
            return []
        trigger = int(tuner["pending"]) - 1
        if trigger < 0:
            since = now - max(int(tuner["recommended"]), int(tuner["changed"]))
            trigger = triggered(rows[known], since)
        if trigger < 0:
            return []
        tuner["pending"] = 0
        if OPTIMIZER_TRIGGERS[trigger] != "operator":
            tuner["trials"] = 0  # things have changed: what was tried before tells nothing
        return self._recommend(scope, now, trigger, batch.origin[row].decode())

    def _recommend(self, scope: str, now: int, trigger: int, origin: str) -> list[tuple[Topic, dict[str, Any]]]:
        """The most promising change of one system, and the beginning of its rollout."""
        tuner = self._tuner[0]
        limits = Limits(*tuner["limits"].tolist())
        levels = group_levels(self._table.rows)
        best: tuple[Choice, int, Posterior] | None = None
        for group, (name, where) in enumerate(GROUPS.items()):
            prior = self._priors.get(name)
            if prior is None or not tuner["tunable"][where].all():
                continue
            self._remember(group, prior.nearest(tuner["values"][where]), levels[group])
            posterior = self._informed(name, group, prior)
            choice = choose(posterior, limits)
            if best is None or choice.improvement > best[0].improvement:
                best = choice, group, posterior
        tuner["recommended"] = now
        if best is None:
            return []
        choice, group, posterior = best
        where, prior = list(GROUPS.values())[group], posterior.prior
        values = tuner["values"].copy()
        if choice.setting != prior.nearest(values[where]):
            values[where] = prior.values[choice.setting]
        values = snap(values)
        changes = make_changes(tuner["values"], values, posterior, where)
        record = recommendation_record(
            now, tuner["request"].decode(), scope, trigger, changes, choice, posterior, limits
        )
        tuner["request"] = b""
        tuner["recommendation"] = f"{origin}:{OPTIMIZER_RECOMMENDATION.kind}".encode()
        self._counts[1] += 1
        found = [(OPTIMIZER_RECOMMENDATION, record)]
        if changes:
            tuner["group"], tuner["chosen"], tuner["proposed"], tuner["effect"] = group, choice.setting, values, 0.0
            rows = self._table.rows
            rows["before"] = performance_of(rows["slow"])
            moment = course.begin(tuner["rollout"], now)
            found.append((OPTIMIZER_ROLLOUT, self._rollout_record(scope, now, moment)))
        return found

    def _go_on(self, scope: str, now: int) -> list[tuple[Topic, dict[str, Any]]]:
        """A minute of the rollout."""
        tuner, rows = self._tuner[0], self._table.rows
        known = (rows["minutes"] >= LEAST_MINUTES) & (rows["last_n"] > 0)
        stage = course.ROLLOUT_STAGES_PCT[int(tuner["rollout"]["stage"])]
        treated = course.share_treated(stage, rows["digest"])
        # A node takes what it was told some time to follow; its first minute is not counted.
        change = performance_of(rows["last"]) - rows["before"]
        with_it, without = known & treated, known & ~treated
        both = with_it.any() and without.any()
        settled = now - int(tuner["rollout"]["stage_begun"]) > MINUTE_MS
        effect = float(change[with_it].mean() - change[without].mean()) if both and settled else np.nan
        cpu, memory = (float(rows["last"][with_it, k].mean()) if with_it.any() else 0.0 for k in (CPU, MEMORY))
        control, samples = (int(rows["last_n"][side].sum()) for side in (without, with_it))
        max_memory, max_cpu, _ = tuner["limits"].tolist()
        minute = course.Minute(effect, control, samples, cpu, memory, max_cpu, max_memory)
        test = course.judge_stage(tuner["rollout"])
        moment = course.take_minute(tuner["rollout"], minute, now)
        if moment is None:
            return []
        record = self._rollout_record(scope, now, moment)
        test = moment.test or test
        if test is not None:
            tuner["effect"] = test.effect
        if moment.status in ("completed", "rolled_back"):
            self._finish(moment.status == "completed", rows[treated], now)
        return [(OPTIMIZER_ROLLOUT, record)]

    def _finish(self, completed: bool, treated: NDArray[Any], now: int) -> None:
        """Keep the new parameters or the old ones, and note what the new ones did as a trial."""
        tuner = self._tuner[0]
        group = int(tuner["group"])
        if (treated["minutes"] > 0).any():
            seen = group_levels(treated)[group]
            # Against the trial of the old ones, because hours lie between. Performance is the mean of all three
            # systems, of which one was changed.
            before = tuner["seen"][group, int(tuner["trials"][group]) - 1, 0]
            seen[0] = before + len(GROUPS) * float(tuner["effect"])
            self._remember(group, int(tuner["chosen"]), seen)
        if completed:
            tuner["values"] = tuner["proposed"]
            tuner["changed"] = now
            self._counts[2] += 1
        else:
            self._counts[3] += 1
        tuner["rested"] = now
        self._table.rows["base"] = self._table.rows["slow"]

    def _remember(self, group: int, setting: int, seen: NDArray[Any]) -> None:
        tuner = self._tuner[0]
        n = int(tuner["trials"][group])
        if n == MAX_TRIALS:
            tuner["setting"][group, 1:-1] = tuner["setting"][group, 2:]
            tuner["seen"][group, 1:-1] = tuner["seen"][group, 2:]
            n -= 1
        tuner["setting"][group, n], tuner["seen"][group, n] = setting, seen
        tuner["trials"][group] = n + 1

    def _informed(self, name: str, group: int, prior: Prior) -> Posterior:
        """A system's settings given what nodes tell of the context now, as far as its trials do not belie it."""
        tuner = self._tuner[0]
        newest = int(tuner["trials"][group]) - 1
        at, shown = int(tuner["setting"][group, newest]), float(tuner["seen"][group, newest, 0])
        told = told_of(name, prior.names, self._table.rows, prior.values[at], shown)
        near = prior.near(told.about, at, told.level)
        trials = self._trials(group, near)
        if near is not prior and Evidence(near, trials).belies(Evidence(prior, trials)):
            near, trials = prior, self._trials(group, prior)
        return Posterior(near, trials)

    def _trials(self, group: int, prior: Prior) -> Trials:
        """What was tried, in the prior's units: performance and cost relative to the first trial."""
        tuner = self._tuner[0]
        n = int(tuner["trials"][group])
        setting, seen = tuner["setting"][group, :n].astype(np.intp), tuner["seen"][group, :n].copy()
        seen[:, 0] += np.nan_to_num(unit_of(list(GROUPS)[group], prior.values[setting]))
        for metric in (0, 1):
            seen[:, metric] += prior.mean[setting[0], metric] - seen[0, metric]
        return Trials(setting, seen)

    def _rollout_record(self, scope: str, now: int, moment: course.Moment) -> dict[str, Any]:
        tuner = self._tuner[0]
        where = list(GROUPS.values())[int(tuner["group"])]
        changes = make_changes(tuner["values"], tuner["proposed"], None, where)
        return rollout_record(now, scope, tuner["recommendation"].decode(), tuner["rollout"], moment, changes)


class Optimizing:
    """Makes states with the same priors, as `parts.PartsOf` wants them."""

    def __init__(self, priors: Mapping[str, Prior]) -> None:
        self._priors = dict(priors)

    def __call__(self) -> OptimizerState:
        """The state of a partition that has seen nothing."""
        return OptimizerState(self._priors)

    def warm(self) -> None:
        """Compile the kernel."""
        OptimizerState.warm()


def check_request(request: OptimizerRequest) -> NDArray[np.float64]:
    """The parameters in force, `[9]`; those left out are the defaults, and are not tuned.

    Raises
    ------
    ValidationError
        When it cannot be answered; see `schemas.optimizer.check_request`.
    """
    optimizer.check_request(request)
    return np.array([request.current.get(p.name, value) for p, value in zip(PARAMETERS, DEFAULT, strict=True)])


def _combine(found: list[tuple[int, list[tuple[Topic, dict[str, Any]]]]]) -> Result:
    by_topic: dict[Topic, list[tuple[int, dict[str, Any]]]] = {}
    for row, records in found:
        for topic, record in records:
            by_topic.setdefault(topic, []).append((row, record))
    return Result({topic: output_of(records) for topic, records in by_topic.items()})


@njit(cache=True)
def _take(nodes: NDArray[Any], slot: NDArray[np.intp], timestamp: NDArray[np.int64], x: NDArray[np.float64]) -> None:
    """Add records ahead of their node's clock to its minute."""
    for i in range(len(slot)):
        node = nodes[slot[i]]
        if timestamp[i] <= node.clock:
            continue
        node.clock = timestamp[i]
        node.n += 1
        for k in range(x.shape[1]):
            node.total[k] += x[i, k]


assert len(WATCHED) == N_LEVELS
assert ACCURACY < N_LEVELS
