"""Leads the selector's versions from candidate to champion, and takes back what does harm.

What it knows comes from the topics: which versions there are, what they answered, and what was
right. It decides by the rules of `online_models.experiment.promotion`, `.experiment` and `.rollback`, and says what it
decided as announcements and experiment records. It reads no topic and no clock itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from offline.sidecar.court import Court
from offline.sidecar.join import Answered, Join, Told
from offline.sidecar.trial import Trial
from offline.sidecar.watchman import Watchman
from online_models.experiment.course import Plan
from online_models.experiment.promotion import PromotionRule
from online_models.experiment.rollback import Limits
from online_models.experiment.winner import WinnerRule
from schemas.compression import CompressionTelemetry, OracleLabel, SelectorPrediction
from schemas.error import ConfigError, StateError
from schemas.experiment import ExperimentResult, ExperimentState
from schemas.model import ModelAnnouncement, ModelRejection
from streams.model import stage as stages
from streams.model.stage import By, Catalogue

MODEL: Final = "selector"
WHO: Final = "sidecar"
PATIENCE_MS: Final = 60_000
"""How long a prediction waits for its label."""

_PROOF: Final = ("hash", "size", "format", "features", "golden", "answer", "slow")
"""Rejections that speak against a version; the others may be one worker's trouble."""


class Rules(Struct, frozen=True, kw_only=True):
    """What decides.

    Parameters
    ----------
    promote_by
        `experiment`: a shadow that is better becomes challenger, and champion once its experiment is passed;
        `labels`: it becomes champion at once; `hand`: nothing is promoted.
    promotion
        Of shadows.
    look_every_ms
        Between looks at a shadow.
    window_ms
        Length of a window of live answers.
    base_ms
        For how long after a promotion throughput is held against what was before.
    limits
        Of the champion.
    plan
        What an experiment is like; its names are filled in.
    winner
        What decides between two forecasters.
    """

    promote_by: Literal["experiment", "labels", "hand"] = "experiment"
    promotion: PromotionRule = PromotionRule()
    look_every_ms: int = 6 * 3_600_000
    window_ms: int = 60_000
    base_ms: int = 24 * 3_600_000
    limits: Limits = Limits()
    plan: Plan = Plan(experiment_id="-", model_name=MODEL, control_version="-", treatment_version="-")
    winner: WinnerRule = WinnerRule()


class Said(Struct):
    """What a round came to, to be published."""

    announcements: list[ModelAnnouncement] = []
    states: list[ExperimentState] = []
    results: list[ExperimentResult] = []

    def __add__(self, other: Said) -> Said:
        """Both, one after the other."""
        return Said(self.announcements + other.announcements, self.states + other.states, self.results + other.results)


class _Captured(Struct, frozen=True, kw_only=True):
    told: list[tuple[str, Told]]
    court: bytes
    trial: bytes
    watchman: bytes
    rejected: list[tuple[str, str]]


class Keeper:
    """Keeps one model's versions.

    Parameters
    ----------
    rules
        What decides.
    captured
        What `capture` gave; empty at the beginning.

    Raises
    ------
    StateError
        When what was captured does not decode.
    """

    def __init__(self, rules: Rules, captured: bytes = b"") -> None:
        self.rules = rules
        known = _decode(captured)
        self._join = Join(known.told if known else ())
        self.court = Court(rules.promotion, rules.look_every_ms, known.court if known else b"")
        self.trial = Trial(rules.plan, known.trial if known else b"")
        self.watchman = Watchman(rules.limits, rules.window_ms, rules.base_ms, known.watchman if known else b"")
        self._rejected = {_pair(key): why for key, why in known.rejected} if known else {}

    def add(
        self,
        now_ms: int,
        predictions: Sequence[SelectorPrediction] = (),
        labels: Sequence[OracleLabel] = (),
        transfers: Sequence[CompressionTelemetry] = (),
        rejections: Sequence[ModelRejection] = (),
    ) -> None:
        """Take in what came."""
        self._rejected |= {
            (one.model_name, one.model_version): f"{one.reason}: {one.message}"
            for one in rejections
            if one.reason in _PROOF
        }
        self._count(self._join.add(now_ms, predictions, labels, transfers), now_ms)

    def round(self, catalogue: Catalogue, now_ms: int) -> Said:
        """Decide what is to be decided now; the catalogue learns it at once."""
        self._count(self._join.give_up(now_ms - PATIENCE_MS), now_ms)
        said = Said()
        self._refuse(catalogue, said, now_ms)
        self._roll_back(catalogue, said, now_ms)
        if self.rules.promote_by != "hand":
            self._judge(catalogue, said, now_ms)
            self._look(catalogue, said, now_ms)
            self._begin(catalogue, said, now_ms)
        self.watchman.follow(catalogue.champion(MODEL), now_ms)
        shadow = catalogue.at(MODEL, "shadow")
        self.court.follow(shadow[0].model_version if shadow else "", now_ms)
        return said

    def capture(self) -> bytes:
        """Everything, for a restart."""
        found = _Captured(
            told=self._join.capture(), court=self.court.capture(), trial=self.trial.capture(),
            watchman=self.watchman.capture(), rejected=[(f"{n}\n{v}", why) for (n, v), why in self._rejected.items()],
        )  # fmt: skip
        return msgspec.msgpack.encode(found)

    def _count(self, answers: Sequence[Answered], now_ms: int) -> None:
        if answers:
            self.court.add(answers)
            self.trial.add(answers, now_ms)
            self.watchman.add(answers)

    def _refuse(self, catalogue: Catalogue, said: Said, now_ms: int) -> None:
        """Take out of use what workers refused, of whatever model."""
        rejected, self._rejected = self._rejected, {}
        for (name, version), why in rejected.items():
            one = catalogue.get(name, version)
            if one is None or one.stage not in ("shadow", "challenger", "champion"):
                continue
            self._take_off(catalogue, said, one, f"refused by a worker, {why}"[:400], now_ms)

    def _roll_back(self, catalogue: Catalogue, said: Said, now_ms: int) -> None:
        breach = self.watchman.look(now_ms)
        champion = catalogue.champion(MODEL)
        if breach is not None and champion is not None and champion.model_version == self.watchman.version:
            self._take_off(catalogue, said, champion, str(breach), now_ms)

    def _judge(self, catalogue: Catalogue, said: Said, now_ms: int) -> None:
        """Promote a shadow that is better for certain, or give it up."""
        decision = self.court.look(now_ms)
        shadow = catalogue.get(MODEL, self.court.version)
        if decision is None or shadow is None or shadow.stage != "shadow":
            return
        by = By(WHO, now_ms, decision.reason)
        if decision.give_up:
            self._say(catalogue, said, [stages.retire(catalogue, MODEL, shadow.model_version, by)])
        elif decision.promote:
            self._promote(catalogue, said, shadow.model_version, by)
            if self.rules.promote_by == "labels":
                self._promote(catalogue, said, shadow.model_version, by)

    def _look(self, catalogue: Catalogue, said: Said, now_ms: int) -> None:
        """Look at the experiment, if it is time, and follow what it says."""
        state = self.trial.state
        if state is None or state.status != "running":
            return
        challenger = catalogue.get(MODEL, state.treatment_version)
        if challenger is None or challenger.stage != "challenger":
            said.states.append(self.trial.stop(now_ms, "its treatment is no challenger any more"))
            return
        look = self.trial.look(now_ms)
        if look is None:
            return
        said.results.append(look.result)
        said.states.append(look.state)
        by = By(WHO, now_ms, f"experiment {look.state.experiment_id}: {look.result.reason}")
        if look.result.decision == "promote":
            self._promote(catalogue, said, challenger.model_version, by)
        elif look.result.decision == "rollback":
            self._say(catalogue, said, [stages.hold(catalogue, MODEL, challenger.model_version, by)])
        elif look.result.decision == "stop":
            self._say(catalogue, said, [stages.retire(catalogue, MODEL, challenger.model_version, by)])

    def _begin(self, catalogue: Catalogue, said: Said, now_ms: int) -> None:
        """Give the next version its turn: one at a time is on trial."""
        challengers, shadows = catalogue.at(MODEL, "challenger"), catalogue.at(MODEL, "shadow")
        running = self.trial.state is not None and self.trial.state.status == "running"
        if challengers and not running and self.rules.promote_by == "experiment":
            champion = catalogue.champion(MODEL)
            control = champion.model_version if champion else "online"
            said.states.append(self.trial.begin(control, challengers[0].model_version, now_ms))
        if challengers or shadows:
            return
        waiting = [one for one in catalogue.at(MODEL, "candidate") if not one.held and all(g.passed for g in one.gates)]
        if waiting:
            self._promote(catalogue, said, waiting[0].model_version, By(WHO, now_ms, "its turn"))

    def _take_off(self, catalogue: Catalogue, said: Said, one: ModelAnnouncement, why: str, now_ms: int) -> None:
        by = By(WHO, now_ms, why)
        if one.stage == "champion":
            self._say(catalogue, said, stages.roll_back(catalogue, one.model_name, by))
        else:
            self._say(catalogue, said, [stages.hold(catalogue, one.model_name, one.model_version, by)])
        if one.model_name == MODEL and self.trial.is_about(one.model_version):
            said.states.append(self.trial.stop(now_ms, why))

    def _promote(self, catalogue: Catalogue, said: Said, version: str, by: By) -> None:
        try:
            self._say(catalogue, said, stages.promote(catalogue, MODEL, version, None, by))
        except ConfigError as exc:  # a gate that failed, say: it was announced by force, and goes on by hand only
            self._say(catalogue, said, [stages.retire(catalogue, MODEL, version, by._replace(reason=str(exc)[:400]))])

    def _say(self, catalogue: Catalogue, said: Said, announcements: Sequence[ModelAnnouncement]) -> None:
        for one in announcements:
            catalogue.take(one)
            said.announcements.append(one)


def _pair(key: str) -> tuple[str, str]:
    """Name and version of a model, as captured."""
    name, found, version = key.partition("\n")
    return (name, version) if found else (MODEL, name)  # of a release that kept those of the selector alone


def _decode(captured: bytes) -> _Captured | None:
    if not captured:
        return None
    try:
        return msgspec.msgpack.decode(captured, type=_Captured)
    except msgspec.DecodeError as exc:
        raise StateError("damaged", f"the life cycle's state does not decode: {exc}") from exc
