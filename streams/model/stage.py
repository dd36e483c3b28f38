"""Versions of models and their stages: what a series of announcements says, and what may follow.

::

    candidate ─▶ shadow ─▶ challenger ─▶ champion ─▶ previous ─▶ retired
        ▲                                  │  ▲         │
        └──── held, until released ────────┘  └─────────┘ rollback

Everything is pure; `streams.model.registry` reads and writes the topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, get_args

from msgspec.structs import replace

from schemas.error import ConfigError, ModelRejected
from schemas.model import Manifest, ModelAnnouncement, ModelStage
from streams.model.store import Stored, path_of

STAGES: Final[tuple[ModelStage, ...]] = get_args(ModelStage)

NEXT: Final[Mapping[ModelStage, ModelStage]] = {
    "candidate": "shadow",
    "shadow": "challenger",
    "challenger": "champion",
}
"""One step of promotion."""


class By(NamedTuple):
    """Who changes something, when and why."""

    who: str
    now_ms: int
    reason: str


class Catalogue:
    """What the announcements taken in so far say; later ones win.

    The champion of a model is the version that was announced as such last. One that was
    champion before it counts as previous, whatever its own record says: between the two records of a
    promotion, and when two promote at once, there is still exactly one.

    Parameters
    ----------
    announcements
        In the topic's order.
    """

    def __init__(self, announcements: Iterable[ModelAnnouncement] = ()) -> None:
        self._latest: dict[tuple[str, str], ModelAnnouncement] = {}
        self._crowned: dict[str, str] = {}
        for announcement in announcements:
            self.take(announcement)

    def take(self, announcement: ModelAnnouncement) -> bool:
        """Take one more in; false when it says nothing new.

        Raises
        ------
        ModelRejected
            When it is older than what is known of its version (sent again), gives a version
            another artifact, or makes a held version champion.
        """
        name, version = announcement.model_name, announcement.model_version
        known = self._latest.get((name, version))
        if known == announcement:
            return False
        if known is not None:
            if announcement.artifact_sha256 != known.artifact_sha256:
                raise ModelRejected(f"{name} {version} has an artifact already: another one needs another version")
            if announcement.timestamp <= known.timestamp:
                raise ModelRejected(f"the announcement of {name} {version} is older than the one that is known")
        if announcement.held and announcement.stage == "champion":
            raise ModelRejected(f"{name} {version} is held and cannot be champion")
        self._latest[name, version] = announcement
        if announcement.stage == "champion":
            self._crowned[name] = version
        return True

    def __len__(self) -> int:
        return len(self._latest)

    @property
    def names(self) -> list[str]:
        """Models, by name."""
        return sorted({name for name, _ in self._latest})

    def versions(self, name: str | None = None) -> list[ModelAnnouncement]:
        """Latest announcement of every version, of one model or all: newest training first within a model."""
        found = [self._seen(one) for one in self._latest.values() if name is None or one.model_name == name]
        return sorted(found, key=lambda one: (one.model_name, -one.trained_at, one.model_version))

    def get(self, name: str, version: str) -> ModelAnnouncement | None:
        """Latest announcement of a version; None if it was never announced."""
        found = self._latest.get((name, version))
        return found and self._seen(found)

    def champion(self, name: str) -> ModelAnnouncement | None:
        """The version whose answers are published; None: the online model or the heuristic answers."""
        found = self.get(name, self._crowned.get(name, ""))
        return found if found is not None and found.stage == "champion" else None

    def at(self, name: str, stage: ModelStage) -> list[ModelAnnouncement]:
        """Versions at a stage, the last to come there first."""
        return sorted((one for one in self.versions(name) if one.stage == stage), key=lambda one: -one.timestamp)

    def previous(self, name: str) -> ModelAnnouncement | None:
        """The version that a rollback goes back to."""
        return next((one for one in self.at(name, "previous") if not one.held), None)

    def _seen(self, one: ModelAnnouncement) -> ModelAnnouncement:
        superseded = one.stage == "champion" and self._crowned[one.model_name] != one.model_version
        return replace(one, stage="previous", previous_stage="champion") if superseded else one


def announce(catalogue: Catalogue, manifest: Manifest, stored: Stored, by: By) -> ModelAnnouncement:
    """A new version, as a candidate.

    Raises
    ------
    ConfigError
        When the version is known, with another artifact or the same.
    """
    name, version = manifest.model_name, manifest.model_version
    if catalogue.get(name, version) is not None:
        raise ConfigError("VERSION", version, f"a version of {name} that was never announced: see `dwcp models list`")
    return ModelAnnouncement(
        id=_id(name, version, by.now_ms), timestamp=by.now_ms, model_name=name, model_version=version,
        stage="candidate", previous_stage=None, reason=by.reason, artifact=path_of(stored.sha256),
        artifact_format="onnx", artifact_bytes=stored.bytes, artifact_sha256=stored.sha256,
        feature_schema=manifest.feature_schema, feature_schema_sha256=manifest.feature_schema_sha256,
        trained_at=manifest.trained_at, training_from=manifest.training_from, training_to=manifest.training_to,
        training_rows=manifest.training_rows, training_data_sha256=manifest.training_data_sha256,
        metrics=manifest.metrics, gates=manifest.gates, library_versions=manifest.library_versions,
        announced_by=by.who,
    )  # fmt: skip


def promote(
    catalogue: Catalogue, name: str, version: str, stage: ModelStage | None, by: By, *, force: bool = False
) -> list[ModelAnnouncement]:
    """A version one stage up; a new champion's predecessor becomes previous, and the one before it is retired.

    Parameters
    ----------
    catalogue
        What is known.
    name, version
        Which.
    stage
        Where to; by default the next one.
    by
        Who, when, why.
    force
        Skip stages, and pass over failed gates; the reason says so.

    Raises
    ------
    ConfigError
        When it cannot be: unknown, held, another stage is next, or a gate failed.
    """
    one = _known(catalogue, name, version)
    if one.held:
        raise ConfigError("VERSION", version, f"one that is not held ({one.reason}): `dwcp models release` it first")
    goal = stage or NEXT.get(one.stage)
    if goal is None or STAGES.index(goal) <= STAGES.index(one.stage) or goal not in NEXT.values():
        raise ConfigError("--stage", goal, f"a stage above {one.stage}: {_above(one.stage)}")
    forced = []
    if goal != NEXT[one.stage]:
        forced.append(f"from {one.stage} to {goal}")
    failed = [gate.gate for gate in one.gates if not gate.passed]
    if failed and goal == "champion":
        forced.append(f"with failed gates {', '.join(failed)}")
    if forced and not force:
        why = f"{NEXT[one.stage]}, the next stage of {name} {version}" if not failed else "a version with passed gates"
        raise ConfigError("--stage", goal, f"{why} ({'; '.join(forced)} only with --force)")
    reason = f"{by.reason}; forced {'; '.join(forced)}" if forced else by.reason
    changes = [_change(one, goal, by._replace(reason=reason))]
    return changes + _step_down(catalogue, one, by) if goal == "champion" else changes


def roll_back(catalogue: Catalogue, name: str, by: By, *, to_previous: bool = True) -> list[ModelAnnouncement]:
    """The champion off: it is held as a candidate, which workers do not load; the previous one comes back, if any.

    Parameters
    ----------
    catalogue, name, by
        As for `promote`.
    to_previous
        Otherwise no version is champion: the online model or the heuristic answers.

    Raises
    ------
    ConfigError
        When there is no champion.
    """
    champion = catalogue.champion(name)
    if champion is None:
        known = ", ".join(catalogue.names) or "none was announced"
        raise ConfigError("NAME", name, f"a model with a champion (models: {known}): there is nothing to take back")
    held = _hold(champion, by)
    previous = catalogue.previous(name) if to_previous else None
    if previous is None:
        return [held]
    back = by._replace(reason=f"{champion.model_version} was rolled back: {by.reason}")
    return [_change(previous, "champion", back), held]


def hold(catalogue: Catalogue, name: str, version: str, by: By) -> ModelAnnouncement:
    """A shadow or challenger that did harm: a candidate again, held until it is released.

    Raises
    ------
    ConfigError
        When it is not in use, or is the champion, which is rolled back instead.
    """
    one = _known(catalogue, name, version)
    if one.stage not in ("shadow", "challenger"):
        raise ConfigError("VERSION", version, f"a shadow or challenger of {name}, and it is {one.stage}")
    return _hold(one, by)


def release(catalogue: Catalogue, name: str, version: str, by: By) -> ModelAnnouncement:
    """A held version that may be promoted again.

    Raises
    ------
    ConfigError
        When it is not held.
    """
    one = _known(catalogue, name, version)
    if not one.held:
        held = ", ".join(v.model_version for v in catalogue.versions(name) if v.held) or "none is"
        raise ConfigError("VERSION", version, f"a version of {name} that is held: {held}")
    return replace(_change(one, one.stage, by), held=False)


def retire(catalogue: Catalogue, name: str, version: str, by: By) -> ModelAnnouncement:
    """A version that is never used again.

    Raises
    ------
    ConfigError
        When it is the champion, or retired.
    """
    one = _known(catalogue, name, version)
    if one.stage in ("champion", "retired"):
        raise ConfigError("VERSION", version, f"a version of {name} that is not {one.stage}")
    return _change(one, "retired", by)


def _step_down(catalogue: Catalogue, new: ModelAnnouncement, by: By) -> list[ModelAnnouncement]:
    name = new.model_name
    reason = by._replace(reason=f"{new.model_version} is champion: {by.reason}")
    champion = catalogue.champion(name)
    changes = [_change(champion, "previous", reason)] if champion else []
    old = [one for one in catalogue.at(name, "previous") if champion and one.model_version != new.model_version]
    return changes + [_change(one, "retired", reason) for one in old]


def _hold(one: ModelAnnouncement, by: By) -> ModelAnnouncement:
    return replace(_change(one, "candidate", by), held=True)


def _change(one: ModelAnnouncement, stage: ModelStage, by: By) -> ModelAnnouncement:
    at = max(by.now_ms, one.timestamp + 1)  # clocks of two who announce may differ
    return replace(
        one, id=_id(one.model_name, one.model_version, at), timestamp=at, stage=stage, previous_stage=one.stage,
        reason=by.reason, announced_by=by.who, signature="",
    )  # fmt: skip


def _known(catalogue: Catalogue, name: str, version: str) -> ModelAnnouncement:
    found = catalogue.get(name, version)
    if found is None:
        known = ", ".join(one.model_version for one in catalogue.versions(name)) or "none was announced"
        raise ConfigError("VERSION", version, f"a version of {name}: {known}")
    return found


def _above(stage: ModelStage) -> str:
    above = [goal for goal in NEXT.values() if STAGES.index(goal) > STAGES.index(stage)]
    if stage == "previous":
        return "none; `dwcp models rollback` makes it champion again"
    return " or ".join(above) or "there is none"


def _id(name: str, version: str, at_ms: int) -> str:
    return f"{name}:{version}/{at_ms}:model.announcement"
