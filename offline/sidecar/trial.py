"""The experiment on a challenger: what both arms got, and the looks at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from offline.sidecar.join import Answered
from online_models.experiment.arm import CONTROL, TREATMENT
from online_models.experiment.arm_sum import ArmSums
from online_models.experiment.course import Look, Plan, begin, roll_back, take_look
from schemas.experiment import ExperimentState

SETTLE_MS: Final = 30_000
"""After a change of stage, until every worker serves it; what is answered meanwhile is not counted."""

_ARM: Final = {"control": CONTROL, "treatment": TREATMENT}
_NOT_TOLD: Final = ("slow",)
"""Measures that no topic tells: how long an answer took stays in the worker's own metrics."""


class _Captured(Struct, frozen=True):
    state: ExperimentState | None
    sums: bytes


class Trial:
    """One experiment at a time.

    Parameters
    ----------
    plan
        What experiments are like; their names are filled in.
    captured
        What `capture` gave.
    """

    def __init__(self, plan: Plan, captured: bytes = b"") -> None:
        self._plan = replace(plan, measures=tuple(m for m in plan.measures if m.metric not in _NOT_TOLD))
        self.state: ExperimentState | None = None
        self.sums = ArmSums(self._plan.metrics)
        if captured:
            known = msgspec.msgpack.decode(captured, type=_Captured)
            self.state = known.state
            self.sums.load(known.sums)
            if self.state is not None:
                self._plan = self._named(self.state)

    def begin(self, control: str, treatment: str, now_ms: int) -> ExperimentState:
        """Begin an experiment of a version against another."""
        name = f"{self._plan.model_name}-{treatment}-{now_ms}"
        self._plan = replace(
            self._plan, experiment_id=name, control_version=control, treatment_version=treatment
        )  # fmt: skip
        self.sums = ArmSums(self._plan.metrics)
        self.state = begin(self._plan, now_ms)
        return self.state

    def is_about(self, version: str) -> bool:
        """Whether a version is on trial, or what it is held against."""
        state = self.state
        return state is not None and state.status == "running" and version in (
            state.treatment_version, state.control_version
        )  # fmt: skip

    def add(self, answers: Sequence[Answered], now_ms: int) -> None:
        """Count what requests of both arms got."""
        state = self.state
        if state is None or state.status != "running" or now_ms < state.stage_started_at + SETTLE_MS:
            return
        own = [one for one in answers if one.prediction.experiment_id == state.experiment_id]
        if not own:
            return
        arm = np.array([_ARM.get(one.prediction.experiment_arm, -1) for one in own], np.int8)
        columns = {
            "throughput_mbps": [math.log(one.throughput_mbps) if one.throughput_mbps > 0 else math.nan for one in own],
            "correct": [float(one.prediction.algorithm == one.truth) if one.truth else math.nan for one in own],
            "error": [float(one.prediction.fallback_reason == "model_error") for one in own],
        }
        values = np.array([columns[name] for name in self._plan.metrics], np.float64).T
        self.sums.add([one.link for one in own], state.ramp_pct, arm, np.ascontiguousarray(values))

    def look(self, now_ms: int) -> Look | None:
        """The look that is due, if one is."""
        if self.state is None:
            return None
        found = take_look(self._plan, self.state, self.sums, now_ms)
        if found is not None:
            self.state = found.state
        return found

    def stop(self, now_ms: int, reason: str) -> ExperimentState:
        """End it: all requests have the control again."""
        assert self.state is not None
        self.state = roll_back(self.state, now_ms, reason)
        return self.state

    def capture(self) -> bytes:
        """Everything, for a restart."""
        return msgspec.msgpack.encode(_Captured(self.state, self.sums.capture()))

    def _named(self, state: ExperimentState) -> Plan:
        return replace(
            self._plan, experiment_id=state.experiment_id, control_version=state.control_version,
            treatment_version=state.treatment_version,
        )  # fmt: skip
