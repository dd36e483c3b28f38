"""Leads a challenger among forecasters to champion, or out: half of the links against the other half.

The scores on `network.score` decide, by `online_models.experiment.winner`. Candidates become shadows, and shadows
challengers, by hand (`dwcp models promote`); from there on it is here. A forecast cannot do much harm, because the
vote falls back within hours, so there is one stage of 50 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy.stats import binomtest

from offline.sidecar.keeper import WHO, Said
from offline.sidecar.trial import SETTLE_MS
from online_models.experiment.arm import CONTROL, TREATMENT, arms_of
from online_models.experiment.link_sum import LinkSums
from online_models.experiment.winner import Arm, Verdict, WinnerRule, arm_of, choose
from online_models.slot import row_dtype
from schemas.error import ConfigError, StateError
from schemas.experiment import ExperimentDecision, ExperimentResult, ExperimentState, ExperimentStatus, MetricComparison
from schemas.key import key_of
from schemas.network import HORIZON_MS, ForecastScore
from streams.model import stage as stages
from streams.model.stage import By, Catalogue

MODEL: Final = "bandwidth"
RAMP_PCT: Final = 50
METRIC: Final = "error_over_persistence"
_UNKNOWN: Final = 1e9
"""End of an interval that nothing is known of; JSON has no infinity."""


class _Captured(Struct, frozen=True):
    state: ExperimentState | None
    sums: bytes


class ScoreSums(LinkSums):
    """Errors of each link's published forecasts beside persistence's."""

    def __init__(self) -> None:
        super().__init__(row_dtype(("scored", "i8"), ("error", "f8", (4,)), ("bar", "f8", (4,))), "forecast scores")

    def add(self, scores: Sequence[ForecastScore]) -> None:
        """Count scores."""
        slot = self._table.index([key_of(one.node_id, one.peer_id) for one in scores])
        rows = self.rows
        np.add.at(rows["scored"], slot, 1)
        np.add.at(rows["error"], slot, np.array([one.error for one in scores], np.float64))
        np.add.at(rows["bar"], slot, np.array([one.persistence_error for one in scores], np.float64))

    def arm(self, which: int, least_scores: int) -> Arm:
        """The links that this arm of the comparison has."""
        names = [(key or b"").decode() for key in self._table.keys]
        mine = arms_of(names, RAMP_PCT) == which
        rows = self.rows[mine]
        return arm_of(rows["scored"], rows["error"], rows["bar"], least_scores)


class ForecastTrial:
    """One comparison at a time.

    Parameters
    ----------
    rule
        What decides.
    captured
        What `capture` gave.

    Raises
    ------
    StateError
        When what was captured does not decode.
    """

    def __init__(self, rule: WinnerRule, captured: bytes = b"") -> None:
        self._rule = rule
        self.state: ExperimentState | None = None
        self.sums = ScoreSums()
        if captured:
            try:
                known = msgspec.msgpack.decode(captured, type=_Captured)
            except msgspec.DecodeError as exc:
                raise StateError("damaged", f"the comparison of forecasters does not decode: {exc}") from exc
            self.state = known.state
            self.sums.load(known.sums)

    @property
    def running(self) -> ExperimentState | None:
        """Where the comparison stands, while there is one."""
        return self.state if self.state is not None and self.state.status == "running" else None

    def add(self, scores: Sequence[ForecastScore], now_ms: int) -> None:
        """Count scores of forecasts that were made since every worker serves both versions."""
        state = self.running
        if scores and state is not None and now_ms >= state.started_at + SETTLE_MS + HORIZON_MS:
            self.sums.add(scores)

    def round(self, catalogue: Catalogue, now_ms: int) -> Said:
        """Begin, look and decide, as it is time; the catalogue learns it at once."""
        said = Said()
        state = self.running
        if state is None:
            if challengers := catalogue.at(MODEL, "challenger"):
                champion = catalogue.champion(MODEL)
                control = champion.model_version if champion else "online"
                said.states.append(self._begin(control, challengers[0].model_version, now_ms))
            return said
        challenger = catalogue.get(MODEL, state.treatment_version)
        if challenger is None or challenger.stage != "challenger":
            said.states.append(self._end(state, "stopped", "its treatment is no challenger any more", now_ms))
        elif (verdict := self._look(state, now_ms, said)) is not None:
            self._follow(catalogue, verdict, said, now_ms)
        return said

    def capture(self) -> bytes:
        """Everything, for a restart."""
        return msgspec.msgpack.encode(_Captured(self.state, self.sums.capture()))

    def _begin(self, control: str, treatment: str, now_ms: int) -> ExperimentState:
        name = f"{MODEL}-{treatment}-{now_ms}"
        self.sums = ScoreSums()
        self.state = ExperimentState(
            id=_state_id(name, now_ms), timestamp=now_ms, experiment_id=name, status="running", ramp_pct=RAMP_PCT,
            model_name=MODEL, control_version=control, treatment_version=treatment, primary_metric=METRIC,
            started_at=now_ms, stage_started_at=now_ms, control_requests=0, treatment_requests=0,
            min_requests_per_arm=self._rule.least_links * self._rule.least_scores, looks=0, reason="begun",
            looks_planned=self._rule.looks,
        )  # fmt: skip
        return self.state

    def _look(self, state: ExperimentState, now_ms: int, said: Said) -> Verdict | None:
        """The look that is due, if one is and something new is known."""
        rule = self._rule
        numbers, information = state.look_numbers or [], [int(known) for known in state.information or []]
        number = min((now_ms - state.started_at) // rule.look_every_ms, rule.looks)
        control, treatment = (self.sums.arm(which, rule.least_scores) for which in (CONTROL, TREATMENT))
        known = control.scores + treatment.scores
        if number <= max(numbers, default=0) or known <= max(information, default=0):
            return None
        numbers, information = [*numbers, number], [*information, known]
        verdict = choose(rule, control, treatment, numbers, information)
        decision, status = _DECIDED[verdict.winner, verdict.harmful]
        self.state = replace(
            state, id=_state_id(state.experiment_id, now_ms), timestamp=now_ms, status=status, looks=len(numbers),
            look_numbers=numbers, information=[float(one) for one in information], reason=verdict.reason,
            control_requests=control.scores, treatment_requests=treatment.scores,
        )  # fmt: skip
        said.states.append(self.state)
        said.results.append(_result(rule, self.state, control, treatment, verdict, decision))
        return verdict

    def _follow(self, catalogue: Catalogue, verdict: Verdict, said: Said, now_ms: int) -> None:
        assert self.state is not None
        version = self.state.treatment_version
        by = By(WHO, now_ms, f"experiment {self.state.experiment_id}: {verdict.reason}"[:400])
        if verdict.winner == "treatment":
            try:
                found = stages.promote(catalogue, MODEL, version, None, by)
            except ConfigError as exc:  # a gate that failed: it goes on by hand only
                found = [stages.retire(catalogue, MODEL, version, by._replace(reason=str(exc)[:400]))]
        elif verdict.winner == "control":
            leave = stages.hold if verdict.harmful else stages.retire
            found = [leave(catalogue, MODEL, version, by)]
        else:
            return
        for one in found:
            catalogue.take(one)
            said.announcements.append(one)

    def _end(self, state: ExperimentState, status: ExperimentStatus, reason: str, now_ms: int) -> ExperimentState:
        self.state = replace(
            state, id=_state_id(state.experiment_id, now_ms), timestamp=now_ms, status=status, reason=reason
        )
        return self.state


_DECIDED: Final[dict[tuple[str, bool], tuple[ExperimentDecision, ExperimentStatus]]] = {
    ("", False): ("wait", "running"),
    ("treatment", False): ("promote", "passed"),
    ("control", True): ("rollback", "rolled_back"),
    ("control", False): ("stop", "failed"),
}


def _result(
    rule: WinnerRule, state: ExperimentState, control: Arm, treatment: Arm, verdict: Verdict,
    decision: ExperimentDecision,
) -> ExperimentResult:  # fmt: skip
    links = len(control.ratios), len(treatment.ratios)
    ends = verdict.effect.interval()
    low, high = (min(max(100.0 * float(np.expm1(min(end, 50.0))), -_UNKNOWN), _UNKNOWN) for end in ends)
    found = MetricComparison(
        METRIC, "1", "primary", control.mean, treatment.mean, 100.0 * float(np.expm1(verdict.effect.value)), low, high,
        verdict.p_value, verdict.p_boundary, verdict.winner == "treatment",
    )  # fmt: skip
    return ExperimentResult(
        f"{state.experiment_id}/{state.looks}:experiment.result", state.timestamp, state.experiment_id, state.looks,
        max(rule.looks, state.looks), state.control_requests, state.treatment_requests, _share_p(*links), [found],
        decision, verdict.reason,
    )  # fmt: skip


def _share_p(control: int, treatment: int) -> float:
    """Probability of arms at least so unequal in links, when each link is in either with equal chance."""
    n = control + treatment
    return float(binomtest(treatment, n, RAMP_PCT / 100).pvalue) if n else 1.0


def _state_id(experiment_id: str, now_ms: int) -> str:
    return f"{experiment_id}/{now_ms}:experiment.state"
