"""From candidate to champion and back, by what the topics say."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from offline.sidecar.court import Court
from offline.sidecar.join import Join
from offline.sidecar.keeper import PATIENCE_MS, Keeper, Rules
from offline.sidecar.trial import SETTLE_MS
from online_models.experiment.arm import arms_of
from online_models.experiment.promotion import PromotionRule
from schemas.compression import OracleLabel, SelectorPrediction
from schemas.model import ModelRejection
from streams.model import stage as stages
from streams.model.stage import By, Catalogue
from streams.model.store import Stored
from tests.catalogue import catalogue as catalogue_of
from tests.catalogue import stage_of as stage_in
from tests.online_models.stream import LINK_TYPES, START_MS, transfer
from tests.online_models.test_onnx_model import manifest

HOUR_MS = 3_600_000
LINKS = 40
QUICK = Rules(
    promote_by="labels", promotion=PromotionRule(least_labels=500, looks=5), look_every_ms=HOUR_MS, window_ms=60_000
)
catalogue = partial(catalogue_of, "selector", metrics={"accuracy": 0.97})
stage_of = partial(stage_in, "selector")


def events(n: int, right: float, shadow_right: float = 0.0, seed: int = 0, **said: Any) -> dict[str, list[Any]]:
    """Predictions right with this probability, a shadow's with that, their labels and transfers."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Any]] = {"predictions": [], "labels": [], "transfers": []}
    for i in range(n):
        link = int(rng.integers(LINKS))
        truth, wrong = ("HDE", "AMST") if rng.random() < 0.5 else ("AMST", "HDE")
        algorithm = truth if rng.random() < right else wrong
        shadow = truth if rng.random() < shadow_right else wrong
        event, node, kind = f"e{seed}-{i}", f"n{link}", LINK_TYPES[link % 4]
        common = {"event_id": event, "node_id": node, "peer_id": "hub", "timestamp": START_MS + i}
        given: dict[str, Any] = {
            "model_name": "utility", "model_version": "tiles-1", "shadow_version": "",
            "shadow_probability_amst": 0.9 if shadow == "AMST" else 0.1,
        }  # fmt: skip
        found["predictions"].append(SelectorPrediction(
            id=event, request_id=event, link_type=kind, algorithm=algorithm, probability_amst=0.9, confidence=0.9,
            heuristic_algorithm="AMST", fallback=False, fallback_reason="", **common, **(given | said),
        ))  # fmt: skip
        found["labels"].append(OracleLabel(
            id=event, link_type=kind, label=truth, utility_hde=1.0, utility_amst=1.0, margin=0.5,
            formula="collection_plan", label_source="outcome", **common,
        ))  # fmt: skip
        found["transfers"].append(transfer(
            event, START_MS + i, node_id=node, peer_id="hub", link_type=kind, request_id=event,
            outcome_hde_latency_ms=10.0 if truth == "HDE" else 20.0,
            outcome_amst_latency_ms=10.0 if truth == "AMST" else 20.0,
        ))  # fmt: skip
    return found


def restarted(keeper: Keeper) -> Keeper:
    return Keeper(keeper.rules, keeper.capture())


def test_a_better_shadow_becomes_champion_by_its_labels() -> None:
    known, keeper = catalogue(("1", "champion"), ("2", "candidate")), Keeper(QUICK)
    keeper.round(known, 0)
    assert stage_of(known, "2") == "shadow"
    keeper.round(known, 1)
    for look in range(1, 4):
        keeper.add(look * HOUR_MS, **events(2000, 0.90, 0.97, seed=look, shadow_version="2"))
        keeper = restarted(keeper)
        said = keeper.round(known, look * HOUR_MS + 1)
        if said.announcements:
            break
    assert (stage_of(known, "1"), stage_of(known, "2")) == ("previous", "champion")
    assert [one.stage for one in said.announcements] == ["challenger", "champion", "previous"]


def test_a_shadow_that_is_no_better_is_given_up() -> None:
    known, keeper = catalogue(("1", "champion"), ("2", "shadow")), Keeper(QUICK)
    keeper.round(known, 0)
    for look in range(1, 6):
        keeper.add(look * HOUR_MS, **events(500, 0.95, 0.95, seed=look, shadow_version="2"))
        keeper.round(known, look * HOUR_MS + 1)
    assert (stage_of(known, "1"), stage_of(known, "2")) == ("champion", "retired")


def test_nothing_is_promoted_where_people_do() -> None:
    known, keeper = catalogue(("1", "candidate")), Keeper(replace(QUICK, promote_by="hand"))
    assert keeper.round(known, 0).announcements == []


@pytest.mark.parametrize(("right", "stage"), [(0.96, "champion"), (0.70, "candidate!")])
def test_a_champion_that_is_too_often_wrong_is_taken_back(right: float, stage: str) -> None:
    known, keeper = catalogue(("1", "champion"), ("2", "champion")), Keeper(QUICK)
    keeper.round(known, 0)
    keeper.add(1000, **events(1000, right, model_name="selector", model_version="2"))
    keeper = restarted(keeper)
    assert keeper.round(known, 30_000).announcements == []
    said = keeper.round(known, 60_000)
    assert stage_of(known, "2") == stage
    assert stage_of(known, "1") == ("previous" if right > 0.9 else "champion")
    assert [one.reason.split()[-1] for one in said.announcements if one.held] == ["certain"] * (right < 0.9)


def test_a_champion_that_fails_is_taken_back() -> None:
    known, keeper = catalogue(("1", "champion")), Keeper(QUICK)
    keeper.round(known, 0)
    keeper.add(1000, **failing(1000))
    keeper.round(known, 60_000)
    assert stage_of(known, "1") == "candidate!"
    assert known.champion("selector") is None


def failing(n: int) -> dict[str, list[Any]]:
    found = events(n, 0.96)
    found["predictions"] = [replace(p, fallback=True, fallback_reason="model_error") for p in found["predictions"]]
    return found


@pytest.mark.parametrize(
    ("reason", "stage"), [("golden", "candidate!"), ("answer", "candidate!"), ("artifact", "shadow")]
)
def test_what_workers_refuse_is_held(reason: Any, stage: str) -> None:
    known, keeper = catalogue(("1", "shadow")), Keeper(QUICK)
    keeper.add(0, rejections=[ModelRejection("r", 1, "selector", "1", "0" * 64, reason, "it is", "w")])
    restarted(keeper).round(known, 5)
    assert stage_of(known, "1") == stage


def test_what_workers_refuse_is_held_of_every_model() -> None:
    known, keeper = Catalogue(), Keeper(replace(QUICK, promote_by="hand"))
    for version in ("1", "2"):
        said = manifest(model_name="bandwidth", model_version=version)
        known.take(stages.announce(known, said, Stored(version * 64, 1), By("t", 1, "new")))
        for one in stages.promote(known, "bandwidth", version, "champion", By("t", 2, "up"), force=True):
            known.take(one)
    keeper.add(0, rejections=[ModelRejection("r", 1, "bandwidth", "2", "0" * 64, "answer", "no number", "w")])
    restarted(keeper).round(known, 5)
    assert {one.model_version: (one.stage, one.held) for one in known.versions()} == {
        "1": ("champion", False), "2": ("candidate", True),
    }  # fmt: skip


def test_a_shadow_is_judged_on_what_it_does_not_answer_too() -> None:
    """There the published decision counts for it: who answers the easy half alone is no better than that half."""
    court = Court(QUICK.promotion, HOUR_MS)
    court.follow("2", 0)
    found = events(2000, 0.9, 1.0, shadow_version="2")
    predictions = [replace(p, shadow_probability_amst=None) if i % 2 else p for i, p in enumerate(found["predictions"])]
    court.add(Join().add(0, predictions, found["labels"], found["transfers"]))
    assert float(court.sums.labels) == 2000
    every = Court(QUICK.promotion, HOUR_MS)
    every.follow("2", 0)
    every.add(Join().add(0, **found))
    half, whole = (sum(one.sums.rows["champion"] - one.sums.rows["challenger"]) for one in (court, every))
    assert 0.35 < half / whole < 0.65


def test_an_experiment_leads_from_challenger_to_champion() -> None:
    """Through 1, 10, 50 and 100 %, restarted at every look; the treatment is right more often, so faster."""
    plan = replace(QUICK.plan, look_every_ms=HOUR_MS, stage_ms=(HOUR_MS, HOUR_MS, 0, HOUR_MS), min_requests_per_arm=500)
    rules = replace(QUICK, promote_by="experiment", plan=plan, window_ms=1 << 50)
    known, keeper = catalogue(("1", "champion"), ("2", "challenger")), Keeper(rules)
    said = keeper.round(known, 0)
    (state,) = said.states
    ramps = [state.ramp_pct]
    for hour in range(1, 12):
        found = events(4000, 0.0, seed=hour)
        arms = arms_of([p.request_id for p in found["predictions"]], state.ramp_pct)
        rng = np.random.default_rng(100 + hour)
        for i, arm in enumerate(arms.tolist()):
            right = rng.random() < (0.97 if arm else 0.7)
            truth = found["labels"][i].label
            found["predictions"][i] = replace(
                found["predictions"][i], algorithm=truth if right else {"HDE": "AMST", "AMST": "HDE"}[truth],
                experiment_id=state.experiment_id, experiment_arm="treatment" if arm else "control",
                model_name="selector", model_version="2" if arm else "1",
            )  # fmt: skip
        keeper.add(hour * HOUR_MS - 1, **found)
        keeper = restarted(keeper)
        said = keeper.round(known, hour * HOUR_MS)
        if said.states:
            state = said.states[-1]
            ramps.append(state.ramp_pct)
        if state.status != "running":
            break
    assert state.status == "passed", state
    assert sorted(set(ramps)) == [1, 10, 50, 100]
    assert (stage_of(known, "1"), stage_of(known, "2")) == ("previous", "champion")


def test_what_is_answered_while_a_stage_settles_is_not_counted() -> None:
    known, keeper = catalogue(("1", "champion"), ("2", "challenger")), Keeper(replace(QUICK, promote_by="experiment"))
    (state,) = keeper.round(known, 0).states
    said = {"experiment_id": state.experiment_id, "experiment_arm": "control"}
    keeper.add(SETTLE_MS - 1, **events(10, 1.0, **said))
    assert keeper.trial.sums.requests(0) == 0
    keeper.add(SETTLE_MS, **events(10, 1.0, seed=1, **said))
    assert keeper.trial.sums.requests(0) == 10


def test_a_challenger_that_somebody_takes_off_ends_its_experiment() -> None:
    known, keeper = catalogue(("1", "champion"), ("2", "challenger")), Keeper(replace(QUICK, promote_by="experiment"))
    keeper.round(known, 0)
    known.take(stages.hold(known, "selector", "2", By("t", 10, "by hand")))
    (state,) = keeper.round(known, 20).states
    assert state.status == "rolled_back"
    assert keeper.round(known, 30).states == []


def test_records_join_in_any_order_and_across_restarts() -> None:
    known, keeper = catalogue(("1", "shadow")), Keeper(QUICK)
    keeper.round(known, 0)
    found = events(300, 0.9, 0.9, shadow_version="1")
    for name in ("labels", "transfers", "predictions"):
        keeper.add(1, **{name: found[name]})
        keeper = restarted(keeper)
    assert keeper.court.sums.labels == 300


def test_a_label_that_never_comes_is_not_waited_for() -> None:
    known, keeper = catalogue(("1", "shadow")), Keeper(QUICK)
    found = events(10, 0.9)
    keeper.add(1, predictions=found["predictions"])
    keeper.round(known, PATIENCE_MS + 2)
    keeper.add(PATIENCE_MS + 3, labels=found["labels"], transfers=found["transfers"])
    keeper.round(known, 2 * PATIENCE_MS + 4)
    assert keeper.court.sums.labels == 0


def test_an_answer_that_is_unsure_makes_no_difference() -> None:
    known, keeper = catalogue(("1", "shadow")), Keeper(QUICK)
    keeper.round(known, 0)
    found = events(400, 0.8, shadow_version="1")
    found["predictions"] = [replace(p, shadow_probability_amst=0.55) for p in found["predictions"]]
    keeper.add(1, **found)
    paired = keeper.court.sums.paired()
    np.testing.assert_array_equal(paired.champion, paired.challenger)
    assert paired.champion.sum() == pytest.approx(80, abs=30)
