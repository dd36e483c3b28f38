"""Announced models take over by role, at one place, and only when they are on the shelf."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from online_models.served import KIND, Served, gauges
from schemas.batch import Control
from schemas.model import ModelAnnouncement

ONE, TWO, BAD = "1" * 64, "2" * 64, "b" * 64


class TwoModels(dict[str, Any]):
    """A shelf that has two models."""

    def admits(self, announcement: ModelAnnouncement) -> bool:
        return announcement.artifact_sha256 in self or announcement.stage in ("candidate", "previous", "retired")


SHELF = TwoModels({ONE: "model one", TWO: "model two"})


def announcement(version: str, sha256: str, stage: str, **changes: Any) -> ModelAnnouncement:
    said: dict[str, Any] = {
        "id": f"selector:{version}", "timestamp": 1, "model_name": "selector", "model_version": version, "stage": stage,
        "previous_stage": None, "reason": "", "artifact": sha256, "artifact_format": "onnx", "artifact_bytes": 1,
        "artifact_sha256": sha256, "feature_schema": "s", "feature_schema_sha256": ONE, "trained_at": 1,
        "training_from": 1, "training_to": 1, "training_rows": 1, "training_data_sha256": ONE, "metrics": {},
        "gates": [], "library_versions": {},
    }  # fmt: skip
    return ModelAnnouncement(**said | changes)


def control(said: ModelAnnouncement) -> Control:
    return Control(KIND, msgspec.json.encode(said), b"dwcp.model.announcement.v1/0/1", 0, 1)


def served_after(*said: ModelAnnouncement) -> Served:
    served = Served("selector")
    served.use(SHELF)
    for one in said:
        served.control(control(one))
    return served


def roles(served: Served) -> dict[str, tuple[str, Any]]:
    return {role: (served.version(role), served.get(role)) for role in ("champion", "challenger", "shadow")}


NOBODY = ("", None)


@pytest.mark.parametrize("stage", ["champion", "challenger", "shadow"])
def test_a_model_takes_the_role_it_is_announced_for(stage: str) -> None:
    found = roles(served_after(announcement("v1", ONE, stage)))
    assert found.pop(stage) == ("v1", "model one")
    assert set(found.values()) == {NOBODY}


def test_a_promoted_challenger_is_no_challenger_any_more() -> None:
    served = served_after(
        announcement("v1", ONE, "champion"), announcement("v2", TWO, "challenger"), announcement("v2", TWO, "champion")
    )
    assert roles(served) == {"champion": ("v2", "model two"), "challenger": NOBODY, "shadow": NOBODY}
    assert served.wanted() == [TWO]


@pytest.mark.parametrize("stage", ["candidate", "previous", "retired"])
def test_a_model_that_is_taken_out_of_use_answers_no_more(stage: str) -> None:
    served = served_after(announcement("v1", ONE, "champion"), announcement("v1", ONE, stage))
    assert set(roles(served).values()) == {NOBODY}


def test_a_held_version_is_not_used_whatever_its_stage() -> None:
    served = served_after(announcement("v1", ONE, "champion"), announcement("v1", ONE, "champion", held=True))
    assert served.get("champion") is None


def test_a_model_that_did_not_verify_replaces_nothing() -> None:
    served = served_after(announcement("v1", ONE, "champion"), announcement("v2", BAD, "champion"))
    assert roles(served)["champion"] == ("v1", "model one")
    assert gauges(served)["selector_refused"] == (1.0, None)
    assert gauges(served)["selector_champion"] == (1.0, None)


def test_an_old_announcement_sent_again_changes_nothing() -> None:
    day = 86_400_000
    new, old = announcement("v2", TWO, "champion", timestamp=day), announcement("v1", ONE, "champion", timestamp=1)
    assert roles(served_after(new, old))["champion"] == ("v2", "model two")
    nearly = announcement("v1", ONE, "champion", timestamp=day - 1000)
    assert roles(served_after(new, nearly))["champion"] == ("v1", "model one"), "clocks differ"


def test_what_concerns_another_model_changes_nothing() -> None:
    served = served_after()
    assert not served.control(control(announcement("v1", ONE, "champion", model_name="bandwidth")))
    assert not served.control(Control("system.feedback", b"{}", b"f/0/0", 0, 0))
    assert set(roles(served).values()) == {NOBODY}


def test_an_announcement_that_is_none_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        Served("selector").control(Control(KIND, b"{", b"a/0/0", 0, 0))


def test_a_restored_state_asks_the_same_models() -> None:
    served, restored = served_after(announcement("v1", ONE, "champion")), Served("selector")
    for name, array in served.shared.items():
        restored.shared[name][...] = array
    restored.rebuild()
    assert restored.wanted() == [ONE]
    assert restored.get("champion") is None, "not fetched yet"
    restored.use(SHELF)
    assert restored.get("champion") == "model one"
