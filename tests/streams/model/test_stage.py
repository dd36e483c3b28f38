"""Stages: one champion whatever is announced, legal steps only, and old announcements sent again change nothing."""

from __future__ import annotations

from hashlib import sha256
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.error import ConfigError, ModelRejected
from schemas.model import Gate, Manifest, ModelAnnouncement
from streams.model.stage import NEXT, By, Catalogue, announce, hold, promote, release, retire, roll_back
from streams.model.store import Stored

NAME = "selector"


def manifest(version: str, *gates: Gate) -> Manifest:
    return Manifest(
        model_name=NAME, model_version=version, feature_schema="19", feature_names=["a"], input_shape=[1],
        outputs=["y"], trained_at=5, training_from=1, training_to=4, training_rows=9, training_data_sha256="0" * 64,
        metrics={"accuracy": 0.97}, gates=list(gates), library_versions={},
    )  # fmt: skip


def by(now_ms: int = 100, reason: str = "test") -> By:
    return By("me", now_ms, reason)


def candidate(version: str, now_ms: int = 100, *gates: Gate) -> ModelAnnouncement:
    stored = Stored(sha256(version.encode()).hexdigest(), 10)
    return announce(Catalogue(), manifest(version, *gates), stored, by(now_ms))


def apply(catalogue: Catalogue, changes: list[ModelAnnouncement]) -> list[ModelAnnouncement]:
    for change in changes:
        assert catalogue.take(change)
    return changes


def crowned(*versions: str) -> Catalogue:
    """A catalogue in which these were champion one after the other."""
    catalogue = Catalogue(candidate(version) for version in versions)
    for number, version in enumerate(versions):
        for _ in NEXT:
            apply(catalogue, promote(catalogue, NAME, version, None, by(1_000 * (number + 1))))
    return catalogue


def stages(catalogue: Catalogue) -> dict[str, str]:
    return {one.model_version: one.stage + "!" * one.held for one in catalogue.versions(NAME)}


def test_a_version_goes_up_step_by_step() -> None:
    catalogue = Catalogue([candidate("1")])
    for stage in ("shadow", "challenger", "champion"):
        (change,) = apply(catalogue, promote(catalogue, NAME, "1", None, by()))
        assert (change.stage, catalogue.get(NAME, "1")) == (stage, change)
    assert catalogue.champion(NAME) == change


def test_a_new_champion_moves_the_others_down() -> None:
    assert stages(crowned("1", "2")) == {"1": "previous", "2": "champion"}
    assert stages(crowned("1", "2", "3")) == {"1": "retired", "2": "previous", "3": "champion"}


def test_between_the_records_of_a_promotion_there_is_one_champion() -> None:
    catalogue = crowned("1", "2")
    catalogue.take(candidate("3"))
    for _ in range(2):
        apply(catalogue, promote(catalogue, NAME, "3", None, by(9_000)))
    for change in promote(catalogue, NAME, "3", None, by(10_000)):
        catalogue.take(change)
        assert sorted(stages(catalogue).values()).count("champion") == 1
        assert catalogue.champion(NAME).model_version == "3"  # type: ignore[union-attr]


def test_a_rollback_brings_the_previous_one_back_and_holds_the_other() -> None:
    catalogue = crowned("1", "2")
    changes = apply(catalogue, roll_back(catalogue, NAME, by(5_000, "errors")))
    assert stages(catalogue) == {"1": "champion", "2": "candidate!"}
    assert changes[0].reason == "2 was rolled back: errors"
    with pytest.raises(ConfigError, match=r"dwcp models release"):
        promote(catalogue, NAME, "2", "champion", by(6_000), force=True)
    apply(catalogue, [release(catalogue, NAME, "2", by(7_000))])
    assert stages(catalogue) == {"1": "champion", "2": "candidate"}
    assert promote(catalogue, NAME, "2", None, by(8_000))[0].stage == "shadow"


def test_without_a_previous_one_a_rollback_leaves_no_champion() -> None:
    catalogue = crowned("1")
    apply(catalogue, roll_back(catalogue, NAME, by(5_000)))
    assert catalogue.champion(NAME) is None
    with pytest.raises(ConfigError, match="nothing to take back"):
        roll_back(catalogue, NAME, by(6_000))


def test_a_rollback_can_go_to_no_version_at_all() -> None:
    catalogue = crowned("1", "2")
    apply(catalogue, roll_back(catalogue, NAME, by(5_000), to_previous=False))
    assert catalogue.champion(NAME) is None
    assert stages(catalogue) == {"1": "previous", "2": "candidate!"}


@pytest.mark.parametrize(
    ("version", "stage", "reason"),
    [
        ("2", "champion", "only with --force"),
        ("2", "challenger", "only with --force"),
        ("2", "candidate", "a stage above candidate: shadow or challenger or champion"),
        ("2", "retired", "a stage above candidate"),
        ("1", "champion", "a stage above champion: there is none"),
        ("1", None, "a stage above champion"),
        ("7", None, "a version of selector: 1, 2"),
    ],
)
def test_other_promotions_are_refused(version: str, stage: Any, reason: str) -> None:
    catalogue = crowned("1")
    catalogue.take(candidate("2"))
    with pytest.raises(ConfigError, match=reason):
        promote(catalogue, NAME, version, stage, by(5_000))


def test_a_failed_gate_keeps_a_version_from_being_champion() -> None:
    failed = Gate("accuracy", 0.9, 0.95, "at_least", False)
    catalogue = Catalogue([candidate("1", 100, failed)])
    for _ in range(2):
        apply(catalogue, promote(catalogue, NAME, "1", None, by()))
    with pytest.raises(ConfigError, match="failed gates accuracy"):
        promote(catalogue, NAME, "1", None, by())
    (change,) = promote(catalogue, NAME, "1", None, by(), force=True)
    assert change.reason == "test; forced with failed gates accuracy"


def test_force_skips_stages_and_says_so() -> None:
    catalogue = Catalogue([candidate("1")])
    (change,) = promote(catalogue, NAME, "1", "champion", by(), force=True)
    assert change.reason == "test; forced from candidate to champion"


@pytest.mark.parametrize("version", ["1", "3"])
def test_champions_and_retired_ones_are_not_retired(version: str) -> None:
    catalogue = crowned("3", "2", "1")
    with pytest.raises(ConfigError, match="that is not"):
        retire(catalogue, NAME, version, by(9_000))
    assert retire(catalogue, NAME, "2", by(9_000)).stage == "retired"


def test_a_challenger_that_did_harm_is_held() -> None:
    catalogue = crowned("1")
    catalogue.take(candidate("2"))
    with pytest.raises(ConfigError, match="it is candidate"):
        hold(catalogue, NAME, "2", by(4_000))
    apply(catalogue, promote(catalogue, NAME, "2", None, by(5_000)))
    apply(catalogue, [hold(catalogue, NAME, "2", by(6_000))])
    assert stages(catalogue) == {"1": "champion", "2": "candidate!"}


def test_what_is_not_held_is_not_released() -> None:
    with pytest.raises(ConfigError, match="none is"):
        release(crowned("1"), NAME, "1", by(9_000))


def test_a_version_is_announced_once() -> None:
    with pytest.raises(ConfigError, match="never announced"):
        announce(crowned("1"), manifest("1"), Stored("a" * 64, 1), by())


def test_another_artifact_under_a_known_version_is_refused() -> None:
    catalogue = crowned("1")
    with pytest.raises(ModelRejected, match="another version"):
        catalogue.take(replace(candidate("1", 9_000), artifact_sha256="b" * 64))


def test_an_old_announcement_sent_again_changes_nothing() -> None:
    catalogue = crowned("1", "2")
    old = replace(candidate("1"), stage="champion", timestamp=1_000)
    with pytest.raises(ModelRejected, match="older"):
        catalogue.take(old)
    newest = catalogue.champion(NAME)
    assert newest is not None
    assert not catalogue.take(newest)
    assert catalogue.champion(NAME) == newest


def test_a_held_champion_is_refused() -> None:
    with pytest.raises(ModelRejected, match="held"):
        Catalogue([replace(candidate("1"), stage="champion", held=True)])


def test_clocks_that_go_back_do_not_undo_a_change() -> None:
    catalogue = crowned("1")
    (held,) = roll_back(catalogue, NAME, by(3))
    assert held.timestamp > 1_000
    assert catalogue.take(held)


@pytest.mark.parametrize("order", list(permutations("12")))
def test_when_two_promote_at_once_the_later_record_wins(order: tuple[str, str]) -> None:
    catalogue = Catalogue(candidate(version) for version in "12")
    both = [promote(catalogue, NAME, v, "champion", by(500), force=True)[0] for v in order]
    for one in both:
        catalogue.take(one)
    assert stages(catalogue) == {order[0]: "previous", order[1]: "champion"}


steps = st.lists(st.tuples(st.sampled_from(["up", "back", "release", "retire"]), st.sampled_from("1234")), max_size=40)


@settings(deadline=None, max_examples=60)
@given(steps)
def test_whatever_is_done_there_is_at_most_one_champion_and_one_previous(done: list[tuple[str, str]]) -> None:
    catalogue = Catalogue(candidate(version) for version in "1234")
    log = catalogue.versions(NAME)
    for at, (what, version) in enumerate(done, 1_000):
        try:
            if what == "up":
                changes = promote(catalogue, NAME, version, None, by(at))
            elif what == "back":
                changes = roll_back(catalogue, NAME, by(at))
            else:
                changes = [{"release": release, "retire": retire}[what](catalogue, NAME, version, by(at))]
        except ConfigError:
            continue
        log += apply(catalogue, changes)
        found = list(stages(catalogue).values())
        assert found.count("champion") <= 1
        assert found.count("previous") <= 1
        assert not any(one.held and one.stage == "champion" for one in catalogue.versions(NAME))
    # Compaction keeps the last record of every version, in order: it says the same.
    kept = {one.model_version: one for one in log}
    compacted = Catalogue(one for one in log if kept[one.model_version] is one)
    assert compacted.versions(NAME) == catalogue.versions(NAME)
    assert compacted.champion(NAME) == catalogue.champion(NAME)
