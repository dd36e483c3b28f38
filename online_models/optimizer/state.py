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
from online_models.optimizer import trial
from online_models.optimizer.belief import most_promising
from online_models.optimizer.choice import Limits, choose
from online_models.optimizer.evidence import Evidence
from online_models.optimizer.learned import Learned
from online_models.optimizer.posterior import Posterior, Trials
from online_models.optimizer.prior import Prior
from online_models.optimizer.record import MODEL_VERSION, make_changes, output_of, recommendation_record, rollout_record
from online_models.optimizer.space import DEFAULT, GROUPS, snap
from online_models.optimizer.trial import LEAST_MINUTES, MINUTE_MS
from online_models.optimizer.tuner import TUNER, forget, limits_of, progress_of, take_request
from online_models.optimizer.watch import MINUTE, N_LEVELS, WATCHED, close_node_minutes, make_state, triggered
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import system_batch
from online_models.served import gauges as served_gauges
from online_models.slot import row_dtype
from schemas import optimizer
from schemas.batch import Batch, Control, Result, matrix
from schemas.optimizer import OPTIMIZER_TRIGGERS, PARAMETERS, SCOPE, OptimizerRequest
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_REQUEST, OPTIMIZER_ROLLOUT, Topic

REST_MS: Final = 10 * MINUTE_MS
"""After a rollout, before the next recommendation."""

NODE: Final = row_dtype(*MINUTE, ("digest", "u8"))


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
        self._tuner = np.zeros(1, TUNER)
        self._tuner["values"], self._tuner["proposed"] = DEFAULT, DEFAULT
        self._counts = np.zeros(4, np.int64)
        """Records, recommendations, rollouts completed, rollouts taken back."""
        self._learned = Learned(self._priors)
        shared = {"tuner": self._tuner, "counts": self._counts}
        super().__init__(NODE, shared, idle_ms, [self._learned.served])

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
        found["optimizer_rollouts_running"] = (float(running), None)
        return found | dict(served_gauges(self._learned.served))

    def control(self, control: Control) -> Result:
        """Take a request in: it is answered at the end of the minute, or of the rollout that it finds running.

        One for another partition does nothing. When other parameters are in force than were believed to be, a
        running rollout is over.

        Raises
        ------
        ValidationError
            When its scope is none, or it names a parameter or value that does not exist.
        """
        super().control(control)
        if control.kind != OPTIMIZER_REQUEST.kind:
            return Result()
        request = msgspec.json.decode(control.body, type=OptimizerRequest)
        current = check_request(request)
        if request.scope not in (SCOPE, f"{SCOPE}/{control.partition}"):
            return Result()
        tuner = self._tuner[0]
        if not take_request(tuner, request, current):
            return Result()
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
        self._table.touch_all()
        rows = self._table.rows
        for slot in np.flatnonzero(rows["digest"] == 0).tolist():
            key = self._table.keys[slot] or b""
            rows["digest"][slot] = int.from_bytes(blake2b(key, digest_size=8).digest()) | 1
        close_node_minutes(rows)
        scope = f"{SCOPE}/{batch.partition}"
        if tuner["rollout"]["status"] == course.RUNNING:
            return self._go_on(scope, now)
        if not tuner["enabled"] or now - tuner["rested"] < REST_MS:
            return []
        known = rows["minutes"] >= LEAST_MINUTES
        if known.sum() < 2:
            return []
        state = make_state(rows[known], tuner["values"], progress_of(tuner, now))
        trigger = int(tuner["pending"]) - 1
        if trigger < 0:
            trigger = triggered(state, now - max(int(tuner["recommended"]), int(tuner["changed"])))
        if trigger < 0:
            return []
        tuner["pending"] = 0
        if OPTIMIZER_TRIGGERS[trigger] != "operator":
            forget(tuner)
        return self._recommend(scope, now, trigger, state, batch.origin[row].decode())

    def _recommend(
        self, scope: str, now: int, trigger: int, state: NDArray[Any], origin: str
    ) -> list[tuple[Topic, dict[str, Any]]]:
        """The most promising change of one system, and the beginning of its rollout."""
        tuner, rows = self._tuner[0], self._table.rows
        tuner["recommended"] = now
        promise = most_promising(tuner, self._priors, rows, self._learned.gains())
        if promise is None:
            return []
        choice, group, belief = promise
        where, prior = list(GROUPS.values())[group], belief.posterior.prior
        values = tuner["values"].copy()
        if choice.setting != prior.nearest(values[where]):
            values[where] = prior.values[choice.setting]
        values = snap(values)
        changes = make_changes(tuner["values"], values, belief.posterior, where)
        asked, limits = tuner["request"].decode(), limits_of(tuner)
        record = recommendation_record(now, asked, scope, trigger, changes, choice, belief, limits, state)
        record["model_version"] = "+".join(filter(None, (MODEL_VERSION, self._learned.version)))
        tuner["request"] = b""
        tuner["recommendation"] = f"{origin}:{OPTIMIZER_RECOMMENDATION.kind}".encode()
        self._counts[1] += 1
        found = [(OPTIMIZER_RECOMMENDATION, record)]
        if changes:
            moment = trial.begin(tuner, rows, group, choice.setting, values, now)
            found.append((OPTIMIZER_ROLLOUT, self._rollout_record(scope, now, moment)))
        return found

    def _go_on(self, scope: str, now: int) -> list[tuple[Topic, dict[str, Any]]]:
        """A minute of the rollout."""
        tuner = self._tuner[0]
        in_force = tuner["values"].copy()
        moment = trial.go_on(tuner, self._table.rows, now)
        if moment is None:
            return []
        self._counts[2] += moment.status == "completed"
        self._counts[3] += moment.status == "rolled_back"
        return [(OPTIMIZER_ROLLOUT, self._rollout_record(scope, now, moment, in_force))]

    def _rollout_record(
        self, scope: str, now: int, moment: course.Moment, in_force: NDArray[Any] | None = None
    ) -> dict[str, Any]:
        tuner = self._tuner[0]
        where = list(GROUPS.values())[int(tuner["group"])]
        before = tuner["values"] if in_force is None else in_force
        changes = make_changes(before, tuner["proposed"], None, where)
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
