"""`dwcp models`: list, show, announce, promote, roll back, release, retire and verify versions of models."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from offline.model.check import checks, load_directory
from schemas.error import ConfigError, GateFailed
from schemas.model import ModelAnnouncement
from streams.model import stage as stages
from streams.model.announcer import change_registry, revisions_of, write_registry
from streams.model.registry import Known, read_registry, read_rejections
from streams.model.stage import By, Catalogue
from streams.model.store import ModelStore
from streams.recording.moment import rfc3339
from streams.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_reason = click.option("--reason", default="", help="Why; it is kept with the announcement.")


@click.group()
def models() -> None:
    """Versions of models: what each is used for, and changing it.

    A version is a candidate, then shadow, challenger, champion, previous, retired. Workers load
    shadows, challengers and the champion, whose answers alone are published. The registry is a
    compacted topic at BROKER_URL; artifacts lie in DWCP_MODEL_STORE; with DWCP_MODEL_KEY set,
    announcements are signed, and unsigned ones are not believed. A change is a transaction: when somebody
    else changed the same model meanwhile, nothing is written, and the exit code is 75.

    \b
    dwcp train selector ... --out new        train, and judge
    dwcp models announce new                 store it, and announce it as a candidate
    dwcp models promote selector 2026-01-04  one stage up; again for the next
    dwcp models rollback selector            the champion off, the previous one back
    """


@models.command("list")
@click.argument("name", required=False)
@_as_json
def list_(name: str | None, as_json: bool) -> None:
    """Every version and its stage; of one model, or all."""
    found = _known(Settings.from_environment()).catalogue.versions(name)
    if as_json:
        click.echo(json.dumps([_summary(one) for one in found], indent=1))
        return
    if not found:
        click.echo(f"no version of {name or 'any model'} was announced: `dwcp train`, then `dwcp models announce`")
    for one in found:
        held = " (held)" if one.held else ""
        trained = rfc3339(one.trained_at)[:16]
        click.echo(f"{one.model_name:16} {one.model_version:24} {one.stage + held:18} trained {trained}  {one.reason}")


@models.command()
@click.argument("name")
@click.argument("version")
@_as_json
def show(name: str, version: str, as_json: bool) -> None:
    """One version: where it came from, what it reached, and what workers said against it."""
    settings = Settings.from_environment()
    one = _one(_known(settings).catalogue, name, version)
    rejections = read_rejections(settings, name, version)
    document = msgspec.to_builtins(one) | {"rejections": msgspec.to_builtins(rejections)}
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    for field, value in document.items():
        if isinstance(value, list):
            click.echo(f"{field:22} {len(value)}")
            for item in value:
                click.echo(f"{'':22} {' '.join(f'{k}={v}' for k, v in item.items())}")
        elif isinstance(value, dict):
            words = (f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in value.items())
            click.echo(f"{field:22} {' '.join(words)}")
        else:
            click.echo(f"{field:22} {value}")


@models.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_reason
@click.option("--force", is_flag=True, help="Also with failed gates; the reason says so.")
@_as_json
def announce(directory: Path, reason: str, force: bool, as_json: bool) -> None:
    """Store what `dwcp train` wrote in DIRECTORY, and announce it as a candidate.

    It is loaded first as a worker would, golden vectors included. Announcing it again changes
    nothing. Exit code 1 when a gate failed or it does not load.
    """
    settings = Settings.from_environment()
    artifact = load_directory(directory)
    manifest = artifact.model.manifest
    failed = [gate for gate in manifest.gates if not gate.passed]
    if failed and not force:
        raise GateFailed(failed[0].gate, failed[0].value, failed[0].limit)
    known = _known(settings).catalogue.get(manifest.model_name, manifest.model_version)
    if known is not None and known.artifact_sha256 == artifact.model.sha256:
        _report([], as_json, f"{manifest.model_name} {manifest.model_version} is announced already, as {known.stage}")
        return
    reason = reason or f"trained to {rfc3339(manifest.training_to)[:16]}"
    if failed:
        reason += f"; forced with failed gates {', '.join(gate.gate for gate in failed)}"
    if known is not None:
        allowed = f"one that {manifest.model_name} never had: train it under another version"
        raise ConfigError("VERSION", manifest.model_version, allowed)
    stored = ModelStore(settings.model_store).put(artifact.content)
    said = change_registry(settings, lambda found: [stages.announce(found, manifest, stored, _by(reason))])
    _report(said, as_json, "")


@models.command()
@click.argument("name")
@click.argument("version")
@click.option("--stage", type=click.Choice(list(stages.NEXT.values())), help="Where to; by default the next one.")
@click.option("--force", is_flag=True, help="Skip stages, or pass over failed gates; the reason says so.")
@_reason
@_as_json
def promote(name: str, version: str, stage: Any, force: bool, reason: str, as_json: bool) -> None:
    """Take a version one stage up: shadow, challenger, champion.

    The champion before becomes previous, and the one before that is retired.
    """
    settings = Settings.from_environment()
    by = _by(reason or "promoted by hand")
    _change(settings, name, lambda known: stages.promote(known, name, version, stage, by, force=force), as_json)


@models.command()
@click.argument("name")
@click.option("--to-online", is_flag=True, help="To the online model or the heuristic, not to the previous version.")
@_reason
@_as_json
def rollback(name: str, to_online: bool, reason: str, as_json: bool) -> None:
    """Take the champion off at once; the previous version takes its place.

    The one taken off is held: it cannot be promoted until it is released. Without a previous version
    the online model or the heuristic answers.
    """
    settings = Settings.from_environment()
    by = _by(reason or "rolled back by hand")
    _change(settings, name, lambda known: stages.roll_back(known, name, by, to_previous=not to_online), as_json)


@models.command()
@click.argument("name")
@click.argument("version")
@_reason
@_as_json
def release(name: str, version: str, reason: str, as_json: bool) -> None:
    """Let a version that was rolled back be promoted again."""
    settings = Settings.from_environment()
    by = _by(reason or "released by hand")
    _change(settings, name, lambda known: [stages.release(known, name, version, by)], as_json)


@models.command()
@click.argument("name")
@click.argument("version")
@_reason
@_as_json
def retire(name: str, version: str, reason: str, as_json: bool) -> None:
    """Put a version out of use for good."""
    settings = Settings.from_environment()
    by = _by(reason or "retired by hand")
    _change(settings, name, lambda known: [stages.retire(known, name, version, by)], as_json)


@models.command()
@click.argument("name")
@click.argument("version")
@_as_json
def verify(name: str, version: str, as_json: bool) -> None:
    """Check a version as a worker does: signature, hash, golden vectors, manifest; exit code 1 when one fails."""
    settings = Settings.from_environment()
    one = _one(_known(settings).catalogue, name, version)
    found = list(checks(one, ModelStore(settings.model_store), settings.model_key))
    if as_json:
        click.echo(json.dumps([check._asdict() for check in found], indent=1))
    else:
        for check in found:
            click.echo(f"{'ok  ' if check.passed else 'FAIL'} {check.check:10} {check.found}")
    sys.exit(0 if all(check.passed for check in found) else 1)


def _known(settings: Settings) -> Known:
    """What the topic says; what is not believed of it goes to stderr."""
    known = read_registry(settings)
    for offset, why in known.ignored:
        click.echo(f"dwcp: announcement {offset} is ignored: {why}", err=True)
    return known


def _one(catalogue: Catalogue, name: str, version: str) -> ModelAnnouncement:
    found = catalogue.get(name, version)
    if found is None:
        known = ", ".join(one.model_version for one in catalogue.versions(name)) or "none was announced"
        raise ConfigError("VERSION", version, f"a version of {name}: {known}")
    return found


def _change(
    settings: Settings, name: str, decide: Callable[[Catalogue], Sequence[ModelAnnouncement]], as_json: bool
) -> None:
    """Announce what is decided by the registry as it is now; when somebody else is quicker, a person decides anew."""
    known = _known(settings)
    seen = revisions_of(known, name)
    _report(write_registry(settings, decide(known.catalogue), seen), as_json, "")


def _report(sent: Sequence[ModelAnnouncement], as_json: bool, nothing: str) -> None:
    if as_json:
        click.echo(json.dumps([_summary(one) for one in sent], indent=1))
        return
    for one in sent:
        before = f" (was {one.previous_stage})" if one.previous_stage else ""
        held = ", held" if one.held else ""
        click.echo(f"{one.model_name} {one.model_version} is {one.stage}{held}{before}: {one.reason}")
    if not sent:
        click.echo(nothing)


def _summary(one: ModelAnnouncement) -> dict[str, Any]:
    names = (
        "model_name", "model_version", "stage", "previous_stage", "held", "reason", "timestamp", "trained_at",
        "training_rows", "artifact_sha256", "metrics", "announced_by",
    )  # fmt: skip
    failed = [gate.gate for gate in one.gates if not gate.passed]
    return {name: getattr(one, name) for name in names} | {"failed_gates": failed, "signed": bool(one.signature)}


def _by(reason: str) -> By:
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a container without a user of its own
        who = ""
    return By(who, time.time_ns() // 1_000_000, reason)
