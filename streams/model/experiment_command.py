"""`dwcp experiments`: where experiments stand, and what their looks found."""

from __future__ import annotations

import json
from typing import Any

import click
import msgspec

from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.experiment import ExperimentResult, ExperimentState
from schemas.topic import EXPERIMENT_RESULT, EXPERIMENT_STATE, Topic
from streams.recording.log import Log
from streams.recording.moment import rfc3339
from streams.settings import Settings


@click.group()
def experiments() -> None:
    """Experiments: two versions of a model side by side on live requests."""


@experiments.command()
@click.argument("experiment_id", required=False)
@click.option("--history", is_flag=True, help="Every look, not only the last.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(experiment_id: str | None, history: bool, as_json: bool) -> None:
    """Ramp, requests, and the last look's metrics of every experiment, or of one.

    A p-value has to be below its boundary, which pays for all looks together.
    """
    settings = Settings.from_environment()
    states = {one.experiment_id: one for one in _read(settings, EXPERIMENT_STATE, ExperimentState)}
    results = _read(settings, EXPERIMENT_RESULT, ExperimentResult)
    if experiment_id is not None and experiment_id not in states:
        known = ", ".join(sorted(states)) or "there is none yet"
        raise ConfigError("EXPERIMENT_ID", experiment_id, f"an experiment: {known}")
    chosen = [one for name, one in sorted(states.items()) if experiment_id in (None, name)]
    documents = [_document(one, results, history) for one in chosen]
    if as_json:
        click.echo(json.dumps(documents, indent=1))
        return
    for document in documents:
        _print(document)
    if not documents:
        click.echo("no experiment was begun")


def _read(settings: Settings, topic: Topic, record: type[msgspec.Struct]) -> list[Any]:
    """Every record of a topic in the order of their times, each once."""
    with Log(settings, [settings.name_of(topic)]) as log:
        found, _ = codec_of(record).decode([one.value for one in log.read()])
    return list({one.id: one for one in sorted(found, key=lambda one: one.timestamp)}.values())


def _document(state: ExperimentState, results: list[Any], history: bool) -> dict[str, Any]:
    own = [one for one in results if one.experiment_id == state.experiment_id]
    document: dict[str, Any] = msgspec.to_builtins(state)
    document["last"] = msgspec.to_builtins(own[-1]) if own else None
    if history:
        document["history"] = msgspec.to_builtins(own)
    return document


def _print(document: dict[str, Any]) -> None:
    click.echo(
        "{experiment_id}: {status}, {model_name} {treatment_version} against {control_version}, {ramp_pct} %, "
        "look {looks} of {looks_planned}".format(**document)
    )
    since = rfc3339(document["stage_started_at"])[:16]
    click.echo(
        f"  {document['control_requests']:,} requests in the control, {document['treatment_requests']:,} in the "
        f"treatment, of {document['min_requests_per_arm']:,} each; this stage since {since}; {document['reason']}"
    )
    for look in document.get("history") or [document["last"]]:
        if look is None:
            continue
        click.echo(f"  look {look['look']}: {look['decision']}, sample ratio p {look['sample_ratio_p_value']:.2g}")
        for one in look["comparisons"]:
            click.echo(
                "    {metric:16} {role:9} {control:10.4g} -> {treatment:10.4g} {unit:5} {lift_pct:+7.2f} % "
                "({lift_lower_pct:+.2f} to {lift_upper_pct:+.2f})  p {p_value:.2g}, boundary {p_boundary:.2g}  "
                "{word}".format(word="passed" if one["passed"] else "not passed", **one)
            )
